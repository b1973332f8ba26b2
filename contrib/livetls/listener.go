package livetls

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/handover-go/handover"
	"github.com/handover-go/handover/internal/platform"
)

// handshakeTimeout bounds a handshake where the server has no timeout that does.
const handshakeTimeout = 30 * time.Second

// listener shakes hands with those that another listener accepts, and hands out connections that net/http serves: a tls.Conn, or a conn where the
// connection can go on in another generation.
type listener struct {
	net.Listener // of the process
	process      *handover.Process
	kind         string // of the sessions that carry its connections
	server       *http.Server
	config       *tls.Config
	trust        trust
	protocols    []string // of connections that can move, besides those that have negotiated none

	ready      chan net.Conn
	refused    chan error // what Accept of the listener below has returned, and is not its end
	handshakes sync.WaitGroup
	ended      chan struct{} // closed when nothing more comes to ready
	end        error         // why; valid once ended is closed
	closing    sync.Once
	closed     chan struct{}

	mu     sync.Mutex
	shaken map[net.Conn]*established // by the kernel's connection: on their way to their sessions
}

// Listener is a [handover.TLSListener]. Where the self-test of the package fails, it is that of crypto/tls, and [Figures] says why.
//
// GetConfigForClient, VerifyPeerCertificate and VerifyConnection of the server's configuration are also called for a client that would come with its connection
// from the generation before, on the goroutine on which handovers depend: they must return soon, and wait for nobody.
func Listener(p *handover.Process, srv *http.Server, ln net.Listener, config *tls.Config) (net.Listener, error) {
	return listen(p, srv, ln, config, []string{"http/1.1"})
}

// Listen is [Listener] for a program that serves what it accepts by itself: ln is a listener of p, and config is its own from then on. A connection that it
// gives to [handover.Process.ServeSession] goes on in the next generation with the session that stands on it, if its handshake was one of TLS 1.3; others
// are those of crypto/tls. config says which protocols there are; its functions are called when [Listener] says. A handshake takes 30 seconds at most. Listen must
// be called before Run, and the next build has to call it for the same address.
func Listen(p *handover.Process, ln net.Listener, config *tls.Config) (net.Listener, error) {
	return listen(p, &http.Server{}, ln, config, config.NextProtos)
}

func listen(p *handover.Process, srv *http.Server, ln net.Listener, config *tls.Config, protocols []string) (net.Listener, error) {
	if err := errors.Join(usable(), platform.Conceal()); err != nil {
		logf(srv, "livetls: HTTPS connections are drained, and do not move: %v", err)
		counted.turnOff(err)
		return off{tls.NewListener(ln, config)}, nil
	}
	l := &listener{
		Listener: ln, process: p, kind: kindOf(p, ln.Addr()), server: srv, config: secretive(config), trust: trust{config}, protocols: protocols,
		ready: make(chan net.Conn), refused: make(chan error), ended: make(chan struct{}), closed: make(chan struct{}),
		shaken: make(map[net.Conn]*established),
	}
	if err := p.CarrierSessions(l.kind, l.serve, l.admit); err != nil {
		return nil, err
	}
	go l.accept()
	return l, nil
}

// logf logs where net/http does.
func logf(srv *http.Server, format string, args ...any) {
	if srv.ErrorLog != nil {
		srv.ErrorLog.Printf(format, args...)
		return
	}
	log.Printf(format, args...)
}

// kindOf names the sessions of a listener's connections: they go on behind the same address, and where several listeners share it, behind the one of
// the same place among them. It stands for the format of their state as well.
func kindOf(p *handover.Process, a net.Addr) string {
	kind := fmt.Sprintf("tls1.3/%d %s %s", version, a.Network(), a)
	for n, first := 2, kind; p.ServesSessions(kind); n++ {
		kind = fmt.Sprint(first, " ", n)
	}
	return kind
}

// timeout is the bound on a handshake, as net/http has it, or its own.
func timeout(srv *http.Server) time.Duration {
	d := time.Duration(0)
	for _, of := range []time.Duration{srv.ReadHeaderTimeout, srv.ReadTimeout, srv.WriteTimeout} {
		if of > 0 && (d == 0 || of < d) {
			d = of
		}
	}
	if d == 0 {
		d = handshakeTimeout
	}
	return d
}

// accept begins a handshake for each connection, until the listener below ends and the last of them is over.
func (l *listener) accept() {
	for {
		raw, err := l.Listener.Accept()
		if err == nil {
			l.handshakes.Go(func() { l.shake(raw) })
			continue
		}
		var passing interface{ Temporary() bool }
		if errors.As(err, &passing) && passing.Temporary() && l.pass(err) {
			continue
		}
		l.handshakes.Wait()
		l.end = err
		close(l.ended)
		return
	}
}

// pass has Accept return an error that is not the end, as of too many open files: net/http waits a little then, and so does accept.
func (l *listener) pass(err error) bool {
	select {
	case l.refused <- err:
		return true
	case <-l.closed:
		return false
	}
}

// shake shakes hands, and has the connection served: by a session where it can move.
func (l *listener) shake(raw net.Conn) {
	t := &trace{Conn: raw}
	_ = raw.SetDeadline(time.Now().Add(timeout(l.server)))
	c := tls.Server(t, l.config)
	err := l.handshake(c)
	_ = raw.SetDeadline(time.Time{})
	t.finish()
	if err != nil {
		t.forget()
		if errors.Is(err, errPanicked) {
			_ = raw.Close()
			return
		}
		l.hand(c) // net/http asks again, is told the same, and logs and answers as it does
		return
	}
	up, why := t.establish(c.ConnectionState(), l.protocols)
	kernel, whole := l.kernelOf(raw)
	if up != nil && !whole {
		up.clear()
		up, why = nil, whyWrapped
	}
	if up == nil {
		counted.stay(why)
		l.hand(c)
		return
	}
	l.mu.Lock()
	l.shaken[kernel] = up
	l.mu.Unlock()
	ended, unread := make(chan struct{}), t.remainder()
	go func() { // without t, of which nothing is to live as long as the connection
		defer close(ended)
		_ = l.process.ServeSession(l.kind, raw, unread)
	}()
	select {
	case <-up.handed: // until then the listener does not end
	case <-ended:
	}
}

// kernelOf is what a connection stands on that a listener of the process has accepted. One that something else was made of cannot go to another.
func (l *listener) kernelOf(raw net.Conn) (kernel net.Conn, whole bool) {
	own, ok := raw.(interface{ NetConn() net.Conn })
	if !ok || !l.process.Accepted(raw) {
		return nil, false
	}
	return own.NetConn(), true
}

var errPanicked = errors.New("a function of the configuration has panicked")

// handshake survives a panic of what the program has in its configuration, as net/http does.
func (l *listener) handshake(c *tls.Conn) (err error) {
	defer func() {
		if said := recover(); said != nil {
			logf(l.server, "livetls: panic shaking hands with %v: %v\n%s", c.RemoteAddr(), said, debug.Stack())
			err = errPanicked
		}
	}()
	return c.HandshakeContext(context.Background())
}

// serve has a connection served whose handshake was here, until it has ended or leaves.
func (l *listener) serve(s *handover.Session) error { return l.serveAs(s, nil) }

// admit decides on a connection that would come, by its state. Who its client is, is decided here alone: what serves the connection goes on with that.
func (l *listener) admit(state []byte) (serve func(*handover.Session) error, err error) {
	up, err := decode(state)
	if err != nil {
		return nil, err
	}
	defer up.clear()
	if a := up.above; a != nil {
		if err := l.process.AdmitCarried(a.kind, a.state); err != nil {
			return nil, fmt.Errorf("the session that it carries: %w", err)
		}
	}
	if err := l.trust.verify(up); err != nil {
		return nil, err
	}
	client := &verified{up.tls.VerifiedChains}
	return func(s *handover.Session) error { return l.serveAs(s, client) }, nil
}

// verified are the chains of a client that this process has decided to trust, none if it has given no certificate.
type verified struct{ chains [][]*x509.Certificate }

// serveAs has a connection served until it has ended or leaves. Its client is nil where the handshake was here.
func (l *listener) serveAs(s *handover.Session, client *verified) error {
	up, err := l.take(s, client)
	if err != nil {
		return err
	}
	c := newConn(s, up)
	taken := l.goOn(c, up)
	up.announce()
	if !taken {
		return net.ErrClosed
	}
	<-c.done
	if up = c.left; up == nil {
		return nil
	}
	defer up.clear()
	state := up.encode()
	defer clear(state)
	s.Keep(up.tls.VerifiedChains) // where it comes back, its client is not decided on anew, whose certificate may have expired by then
	// It is not too long, see maxOwn: this fails only where the session was closed meanwhile.
	if err := s.LetGo(state, up.record.Raw); err != nil {
		return err
	}
	counted.let()
	return nil
}

// goOn has the connection served: by net/http, or by the session that has come with it. It reports false if nobody does.
func (l *listener) goOn(c *conn, up *established) bool {
	if up.above == nil {
		return l.hand(c)
	}
	// Its handler may return long after it has let go, and the library waits for it. It closes c, or leaves with it.
	go func() { _ = l.process.ContinueSession(up.above.kind, c, up.above.state, nil) }()
	return true
}

// take is what the connection of a session goes on with.
func (l *listener) take(s *handover.Session, client *verified) (*established, error) {
	if state := s.State(); state != nil {
		defer clear(state)
		up, err := decode(state)
		if err != nil {
			return nil, err
		}
		if chains, ours := s.Kept().([][]*x509.Certificate); ours { // it comes back
			up.tls.VerifiedChains = chains
		} else if client != nil {
			up.tls.VerifiedChains = client.chains
		} else {
			up.clear()
			return nil, errors.New("nobody has decided on the client of this connection")
		}
		counted.come()
		return up, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	up := l.shaken[s.NetConn()]
	delete(l.shaken, s.NetConn())
	if up == nil {
		return nil, errors.New("no handshake of this connection is known: it was not accepted by a listener of the process")
	}
	return up, nil
}

// hand has Accept return c. It reports false, and c is closed, when nobody accepts any more.
func (l *listener) hand(c net.Conn) bool {
	select {
	case l.ready <- c:
		return true
	case <-l.closed:
		_ = c.Close()
		return false
	}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.ready:
		return c, nil
	case err := <-l.refused:
		return nil, err
	case <-l.ended:
		return nil, l.end
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Figures are for the service's status.
func (l *listener) Figures() handover.TLSFigures { return Figures() }

// Close implements net.Listener.
func (l *listener) Close() error {
	l.closing.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// off is crypto/tls's listener, whose connections stay.
type off struct{ net.Listener }

// Figures say why.
func (off) Figures() handover.TLSFigures { return Figures() }
