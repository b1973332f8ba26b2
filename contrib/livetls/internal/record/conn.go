package record

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// partingTime bounds what is written last, be it close_notify or a fatal alert, to a client that may not read; as in crypto/tls.
const partingTime = 5 * time.Second

var errWritingClosed = errors.New("write after close_notify")

// Conn is the server's side of a TLS 1.3 connection after the handshake. As with any net.Conn, its methods may be called
// concurrently.
//
// What the client may not do is answered with the alert that RFC 8446 names, and ends the connection for both directions. The
// errors of alerts have the shape of those of crypto/tls: a [net.OpError] whose Op is "local error" or "remote error", and whose Err
// is a [tls.AlertError].
//
// Unlike crypto/tls, a Read never writes, unless to end the connection: the KeyUpdate that a client asks for precedes what is
// written next. Records are as long as they can be from the first one on.
type Conn struct {
	below net.Conn
	over  atomic.Bool // closed or detached
	spent atomic.Bool // closed, and the last was written: secrets are of no use any more

	// Whoever locks both locks in first.
	in  inbound
	out outbound

	deadlines sync.Mutex
	parting   bool // the last write of all has its own deadline
}

// NewConn serves a connection from where its handshake has ended. It owns both halves from then on, and below until it is detached.
func NewConn(below net.Conn, in, out *Half) *Conn {
	return Continue(below, State{In: in, Out: out})
}

// Continue serves a connection from where another Conn was detached, in this process or another. It owns all of the state from then on.
func Continue(below net.Conn, s State) *Conn {
	c := &Conn{below: below}
	c.in.half, c.out.half = s.In, s.Out
	c.in.plain = s.Plain
	c.in.keep(s.Raw)
	c.out.owes.Store(s.Owes)
	return c
}

// NetConn returns the connection below. What is read from it or written to it is missing here.
func (c *Conn) NetConn() net.Conn { return c.below }

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return c.below.LocalAddr() }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return c.below.RemoteAddr() }

// SetDeadline implements net.Conn. As in crypto/tls, a write that meets its deadline is the last: the client may have got a part of it.
func (c *Conn) SetDeadline(t time.Time) error {
	return c.setDeadline(c.below.SetDeadline, c.below.SetReadDeadline, t)
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	return c.setDeadline(c.below.SetReadDeadline, c.below.SetReadDeadline, t)
}

// SetWriteDeadline implements net.Conn; see SetDeadline.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.setDeadline(c.below.SetWriteDeadline, nil, t)
}

// setDeadline sets a deadline, and the other one if that for writing is the Conn's own.
func (c *Conn) setDeadline(set, parting func(time.Time) error, t time.Time) error {
	c.deadlines.Lock()
	defer c.deadlines.Unlock()
	switch {
	case c.over.Load():
		return net.ErrClosed
	case !c.parting:
		return set(t)
	case parting != nil:
		return parting(t)
	}
	return nil
}

// part bounds the last write.
func (c *Conn) part() {
	c.deadlines.Lock()
	defer c.deadlines.Unlock()
	if !c.parting {
		c.parting = true
		_ = c.below.SetWriteDeadline(time.Now().Add(partingTime)) // fails only where the write will, too
	}
}

// end makes the Conn one that is closed or detached; false if it is one already. After it no deadline changes below.
func (c *Conn) end() bool {
	c.deadlines.Lock()
	defer c.deadlines.Unlock()
	return c.over.CompareAndSwap(false, true)
}
