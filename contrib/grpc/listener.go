package handovergrpc

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// listener stands between the service's listener and the gRPC server, and knows which connections have not become the
// server's yet: those in their handshake, of TLS and HTTP/2.
type listener struct {
	net.Listener

	mu       sync.Mutex
	arriving map[*conn]struct{}
	hurry    time.Time     // when handshakes must be over; zero: when the server says
	settled  chan struct{} // closed when none is left; nil: nobody asks
}

func newListener(ln net.Listener) *listener {
	return &listener{Listener: ln, arriving: make(map[*conn]struct{})}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err // as it is: the server looks whether it is temporary
	}
	c := &conn{Conn: raw, listener: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.arriving[c] = struct{}{}
	return c, nil
}

// settle gives handshakes that time, and returns a channel that is closed when none is left. It is called once, when Accept
// has ended.
func (l *listener) settle(within time.Duration) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	settled := make(chan struct{})
	l.hurry, l.settled = time.Now().Add(within), settled
	for c := range l.arriving {
		_ = c.Conn.SetDeadline(l.hurry) // fails only if it is closed already
	}
	l.tellLocked()
	return settled
}

// arrived takes c for settled.
func (l *listener) arrived(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.arrivedLocked(c)
}

func (l *listener) arrivedLocked(c *conn) {
	delete(l.arriving, c)
	l.tellLocked()
}

// tellLocked tells, once, that none is left.
func (l *listener) tellLocked() {
	if l.settled != nil && len(l.arriving) == 0 {
		close(l.settled)
		l.settled = nil
	}
}

// conn is a connection of the gRPC server. The server bounds its handshake by a deadline, and lifts that when it is over.
type conn struct {
	net.Conn
	listener *listener
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	l := c.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	if t.IsZero() {
		l.arrivedLocked(c)
	}
	if _, ok := l.arriving[c]; ok && !l.hurry.IsZero() && t.After(l.hurry) {
		t = l.hurry
	}
	return c.Conn.SetDeadline(t)
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.listener.arrived(c)
	return c.Conn.Close()
}

// SyscallConn gives credentials access to the kernel's connection.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := c.Conn.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// NetConn returns the connection of the service's listener.
func (c *conn) NetConn() net.Conn { return c.Conn }
