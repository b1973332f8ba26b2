package handover

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// lastCall is the time between a first GOAWAY, which announces the end and refuses nothing, and the one of net/http, which
	// refuses what it has not seen yet: what the client had sent by the first has arrived by then (RFC 9113, section 6.8). A
	// round trip would do, but for hosts that are so busy that a process waits for its turn.
	lastCall = 2 * time.Second

	// lastCalls bounds the wait where connections go on to come that were accepted before.
	lastCalls = 5 * lastCall

	// prefaceTimeout is how long net/http waits for a client to say that it speaks HTTP/2.
	prefaceTimeout = 10 * time.Second

	preface      = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	frameHeader  = 9
	goAway       = 7
	allStreams   = 1<<31 - 1
	unencrypted  = "unencrypted_http2" // under which net/http's HTTP/2 takes connections whose preface was read
	overTLS      = "h2"
	goAwayLength = 8
)

// announced is an HTTP/2 connection on which the end can be announced.
//
// net/http says GOAWAY once, with the last stream that it has seen. Requests that are on their way are refused by it, and one
// with a body that cannot be repeated fails. So a GOAWAY that names no stream goes first; it is written between two frames of
// net/http, on the connection that it is given.
type announced struct {
	net.Conn // of TLS, or a conn

	since time.Time   // when the client was to be told; under the mutex of announcements
	said  atomic.Bool // it is to be told
	mu    sync.Mutex  // held in Write
	told  bool
	head  [frameHeader]byte // of the frame that is being written
	have  int               // so much of it
	rest  int               // bytes of the frame that are still to come
	any   bool              // a whole frame has been written: SETTINGS comes first
}

// announcements are the HTTP/2 connections of a server.
type announcements struct {
	mu      sync.Mutex
	conns   map[net.Conn]*announced // by what was accepted
	said    bool
	last    time.Time      // when a connection was last told
	telling sync.WaitGroup // ends at the latest with the connections
}

// nextProtocols is the type of http.Server.TLSNextProto.
type nextProtocols = map[string]func(*http.Server, *tls.Conn, http.Handler)

// serving returns the functions of net/http's HTTP/2 with each connection known to a.
func (a *announcements) serving(protocols nextProtocols) nextProtocols {
	serve, ok := protocols[unencrypted]
	if !ok {
		return protocols // not the HTTP/2 that is known here
	}
	protocols = maps.Clone(protocols)
	if _, ok := protocols[overTLS]; ok {
		protocols[overTLS] = func(srv *http.Server, c *tls.Conn, h http.Handler) {
			if readPreface(c) == nil {
				a.known(&announced{Conn: c}, func(c *announced) { serve(srv, handed(&announcedTLS{c}), h) })
			}
		}
	}
	protocols[unencrypted] = func(srv *http.Server, c *tls.Conn, h http.Handler) {
		if from, ok := c.NetConn().(interface{ UnencryptedNetConn() net.Conn }); ok {
			a.known(&announced{Conn: from.UnencryptedNetConn()}, func(c *announced) { serve(srv, handed(c), h) })
		}
	}
	return protocols
}

// known serves a connection, to which the end is announced meanwhile.
func (a *announcements) known(c *announced, serve func(*announced)) {
	key := c.Conn
	if own, ok := accepted(c); ok {
		key = own
	}
	a.mu.Lock()
	a.conns[key] = c
	if a.said {
		a.tellLocked(c) // it was accepted before, and is late
	}
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.conns, key)
	}()
	serve(c)
}

func (a *announcements) tellLocked(c *announced) {
	c.since = time.Now()
	a.last = c.since
	c.said.Store(true)
}

// say announces the end on every connection, and waits until what was on its way has come.
func (a *announcements) say(ctx context.Context) {
	a.mu.Lock()
	a.said, a.last = true, time.Now()
	for _, c := range a.conns {
		a.tellLocked(c)
		a.telling.Go(c.tell) // a client that does not read holds up nobody else
	}
	a.mu.Unlock()
	for began := time.Now(); time.Since(began) < lastCalls; {
		a.mu.Lock()
		left := lastCall - time.Since(a.last)
		a.mu.Unlock()
		if left <= 0 {
			return
		}
		wait := time.NewTimer(left)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return
		}
	}
}

// over reports whether a connection was told long enough ago for net/http to refuse what comes now.
func (a *announcements) over(own *conn) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, ok := a.conns[own]
	return !ok || !c.since.IsZero() && time.Since(c.since) >= lastCall
}

// Write implements net.Conn.
func (c *announced) Write(p []byte) (int, error) {
	c.mu.Lock()
	n, err := c.Conn.Write(p)
	c.follow(p[:n])
	c.mu.Unlock()
	c.tell()
	return n, err
}

// follow looks where frames end.
func (c *announced) follow(p []byte) {
	for len(p) > 0 {
		if c.have < frameHeader {
			n := copy(c.head[c.have:], p)
			p = p[n:]
			if c.have += n; c.have < frameHeader {
				return
			}
			c.rest = int(binary.BigEndian.Uint32(c.head[:4]) >> 8)
		}
		n := min(c.rest, len(p))
		p = p[n:]
		if c.rest -= n; c.rest == 0 {
			c.have, c.any = 0, true
		}
	}
}

// tell writes the announcement if it is to be made and no frame is half written. Whoever writes now looks again afterwards.
func (c *announced) tell() {
	for c.said.Load() && c.mu.TryLock() {
		ready := !c.told && c.any && c.have == 0
		if ready {
			c.told = true
			frame := append([]byte{0, 0, goAwayLength, goAway, 0, 0, 0, 0, 0}, 0, 0, 0, 0, 0, 0, 0, 0)
			binary.BigEndian.PutUint32(frame[frameHeader:], allStreams)
			_, _ = c.Conn.Write(frame) // an error shows at the next frame
		}
		c.mu.Unlock()
		if !ready {
			return
		}
	}
}

// NetConn returns what the connection stands on.
func (c *announced) NetConn() net.Conn { return c.Conn }

// unannounced returns the connection that the program knows.
func (c *announced) unannounced() net.Conn { return c.Conn }

// announcedTLS is announced on a connection of TLS, of which net/http asks the state.
type announcedTLS struct{ *announced }

// ConnectionState is that of TLS.
func (c *announcedTLS) ConnectionState() tls.ConnectionState {
	return c.Conn.(*tls.Conn).ConnectionState()
}

// handed is how net/http passes a connection to its HTTP/2 once the preface was read: in a *tls.Conn that is none.
func handed(c net.Conn) *tls.Conn { return tls.Client(handedConn{conn: c}, nil) }

type handedConn struct {
	net.Conn // none: nobody uses it
	conn     net.Conn
}

// UnencryptedNetConn returns the connection.
func (h handedConn) UnencryptedNetConn() net.Conn { return h.conn }

// readPreface takes the first words of a client of HTTP/2.
func readPreface(c net.Conn) error {
	if err := c.SetReadDeadline(time.Now().Add(prefaceTimeout)); err != nil {
		return err
	}
	b := make([]byte, len(preface))
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	if string(b) != preface {
		return errors.New("not HTTP/2")
	}
	return c.SetReadDeadline(time.Time{})
}
