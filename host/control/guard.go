package control

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"

	"github.com/handover-go/handover/host/audit"
	"github.com/handover-go/handover/internal/platform"
)

// guard counts connections, so that one client cannot keep the others out.
type guard struct {
	all, each int

	mu  sync.Mutex
	sum int
	now map[string]int // by user or address
}

func (g *guard) enter(who string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sum >= g.all || g.now[who] >= g.each {
		return false
	}
	g.sum++
	g.now[who]++
	return true
}

func (g *guard) leave(who string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sum--
	if g.now[who]--; g.now[who] == 0 {
		delete(g.now, who)
	}
}

// guarded is a listener whose connections know who made them.
type guarded struct {
	net.Listener
	guard *guard // of those that come
	admin func(*conn) bool
}

// Accept closes at once what is beyond the limits, and whoever cannot be named.
func (l *guarded) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c, err := identify(nc)
		if err == nil && (l.admin(c) || c.enter(l.guard)) {
			return c, nil
		}
		_ = nc.Close()
	}
}

// known counts who asks over TLS, and so has shown a certificate, among those who have. Whoever has not keeps his place among the strangers, of whom there
// may be any number, and takes none of anybody who is known. Who is too many is hung up on.
func (s *Server) known(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c := r.Context().Value(connKey{}).(*conn); c.peer == nil && !c.enter(&s.remote) {
			panic(http.ErrAbortHandler)
		}
		next.ServeHTTP(w, r)
	})
}

// conn is a connection of a client.
type conn struct {
	net.Conn
	peer   *audit.Peer // nil over TLS
	from   string
	groups func() []int
	who    string // the same for all connections that share a limit

	mu     sync.Mutex
	in     *guard // that counts it; nil: none does
	closed bool
}

// identify finds out who has connected.
func identify(nc net.Conn) (*conn, error) {
	unix, ok := nc.(syscall.Conn)
	if nc.LocalAddr().Network() != "unix" || !ok {
		address, err := netip.ParseAddrPort(nc.RemoteAddr().String())
		return &conn{Conn: nc, from: "tcp:" + nc.RemoteAddr().String(), who: site(address.Addr())}, err
	}
	creds, err := platform.PeerCredentials(unix)
	if err != nil {
		return nil, err
	}
	return &conn{
		Conn: nc, from: "unix:" + nc.LocalAddr().String(), peer: &audit.Peer{UID: creds.UID, GID: creds.GID, PID: creds.PID},
		groups: sync.OnceValue(func() []int { return groupsOf(creds.UID) }), who: fmt.Sprintf("uid:%d", creds.UID),
	}, nil
}

// site is what one client has of addresses: of IPv6 at least a network of 64 bits, in which it chooses (RFC 4291, 2.5.4; RFC 8981).
func site(a netip.Addr) string {
	if a = a.Unmap(); a.Is4() {
		return a.String()
	}
	return netip.PrefixFrom(a.WithZone(""), 64).Masked().String()
}

// enter has g count the connection, instead of who did before, and reports whether it may be.
func (c *conn) enter(g *guard) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.in == g:
		return true
	case c.closed || !g.enter(c.who):
		return false
	}
	c.leaveLocked()
	c.in = g
	return true
}

func (c *conn) leaveLocked() {
	if c.in != nil {
		c.in.leave(c.who)
		c.in = nil
	}
}

func (c *conn) Close() error {
	c.mu.Lock()
	c.leaveLocked()
	c.closed = true
	c.mu.Unlock()
	return c.Conn.Close()
}

// connKey is under which a request's context has its connection.
type connKey struct{}

func connOf(c net.Conn) *conn {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	return c.(*conn)
}
