package handover

import (
	"net"
	"time"

	"github.com/handover-go/handover/internal/wire"
)

// luggage is what a session that was let go takes along.
type luggage struct {
	kind   string
	state  []byte
	unread []byte
	fate   chan fate // told once
}

// fate is what becomes of a session that was let go.
type fate uint8

const (
	elsewhere fate = iota // another generation goes on with it
	here                  // this one does
	nowhere               // it was closed, as it could not arrive
)

// become makes the connection a session's, and returns what it has brought along of the client's bytes.
func (c *conn) become() (unread []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	unread, c.unread, c.phase = c.unread, nil, hijacked
	return unread
}

// take makes the connection the migration's.
func (c *conn) take(l *luggage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken, c.luggage = true, l
}

// comesBack has the session go on in this process.
func (c *conn) comesBack() {
	c.mu.Lock()
	l := c.luggage
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
// there.
func arrived(s *sockets, raw net.Conn, w wire.Conn) *conn {
	l := s.find(w.Key)
	if l == nil {
		l = &listener{socket: socket{set: s}} // the service does not listen there any more
	}
	return &conn{Conn: raw, ln: l, accepted: time.Now().Add(-w.Age), phase: hijacked}
}
