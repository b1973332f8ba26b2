package handover

import (
	"net"
	"time"

	"github.com/handover-go/handover/internal/idle"
	"github.com/handover-go/handover/internal/wire"
)

// luggage is what a session that was let go takes along.
type luggage struct {
	kind   string
	state  []byte
	unread []byte
	kept   any       // stays here
	fate   chan fate // told once
	bound  bool      // it came back for good
	conn   net.Conn  // unless nil: what carries it now, as it came back
	above  *luggage  // unless nil: of the session that was let go with it, and is to come back with it
}

// forget overwrites what may be secret in it, and keeps nothing more.
func (l *luggage) forget() {
	clear(l.state)
	clear(l.unread)
	l.kept = nil
}

// fate is what becomes of a session that was let go.
type fate uint8

const (
	elsewhere fate = iota // another generation goes on with it
	here                  // this one does
	nowhere               // it was closed, as it could not arrive
)

// become makes the connection a session's, and returns what it has brought along of the client's bytes. What the session brings along was read
// from the connection, here or in the generation before.
func (c *conn) become(s *Session, brings []byte) (unread []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session = s
	if !c.inflow.begun {
		c.inflow.add(brings)
	}
	unread, c.unread, c.point.Phase = c.unread, nil, idle.Hijacked
	return unread
}

// look notes that the session waits between two messages. Where net/http has it, that is between two requests.
func (c *conn) look() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.point.Phase != idle.Hijacked {
		c.lookLocked()
	}
}

// retires reports whether the session, which waits between two messages, is to end, as the service does: where net/http has it, which does not
// close a connection that is new to it.
func (c *conn) retires() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	between := c.point.Phase == idle.Fresh || c.point.Phase == idle.Idle
	return between && c.ln.set.mode.Load() == modeRetire && c.retiresLocked()
}

// pass notes what the session has read from the kernel.
func (c *conn) pass(p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.point.Phase != idle.Hijacked {
		c.inflow.add(p)
	}
}

// take makes the connection the migration's.
func (c *conn) take(l *luggage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken, c.luggage = true, l
}

// comesBack has the session go on in this process, for good if it is bound to it.
func (c *conn) comesBack(bound bool) {
	c.mu.Lock()
	l := c.luggage
	l.bound = bound
	c.taken, c.luggage = false, nil
	c.mu.Unlock()
	l.fate <- here
}

// gone closes this process's descriptor of a connection that is the migration's.
func (c *conn) gone(f fate) {
	_ = c.Conn.Close()
	if c.luggage != nil {
		c.luggage.fate <- f
	}
}

// weight is how many bytes the connection takes along.
func (c *conn) weight() int {
	if c.luggage == nil {
		return 0
	}
	return len(c.luggage.state) + len(c.luggage.unread)
}

// arrived makes the connection of a session that another generation has let go. The listener is found again by its key, if it is
// there. serve is for that session.
func arrived(s *sockets, raw net.Conn, w wire.Conn, serve func(*Session) error) *conn {
	l := s.find(w.Key)
	if l == nil {
		l = &listener{socket: socket{set: s}} // the service does not listen there any more
	}
	return &conn{Conn: raw, ln: l, accepted: time.Now().Add(-w.Age), point: idle.Point{Phase: idle.Hijacked}, admitted: serve}
}
