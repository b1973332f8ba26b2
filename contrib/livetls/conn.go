package livetls

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/handover-go/handover"
	"github.com/handover-go/handover/contrib/livetls/internal/record"
	"github.com/handover-go/handover/internal/idle"
)

// carrier is what a conn needs of the session that carries it.
type carrier interface {
	net.Conn
	Wait(buffered int) error
}

// conn is what net/http has. Between two requests, when nothing is decrypted and unread, it waits as a session does; asked to leave, it ends for
// net/http, and left is what goes on elsewhere.
type conn struct {
	*record.Conn
	session  carrier
	tls      tls.ConnectionState
	accepted time.Time
	closing  sync.Once
	done     chan struct{} // closed when net/http has closed it
	left     *established  // set before done is closed, or nil

	mu    sync.Mutex
	point idle.Point
}

// newConn goes on with a connection. It owns up's secrets from then on.
func newConn(s carrier, up *established) *conn {
	c := &conn{Conn: record.Continue(s, up.record), session: s, tls: up.tls, accepted: time.Now(), done: make(chan struct{})}
	if a := up.came; a != nil {
		c.accepted = c.accepted.Add(-a.age)
		if up.above != nil {
			return c // its deadlines are the program's alone
		}
		c.point = idle.Arrived(a.fresh, a.age, a.wait)
		_ = c.Conn.SetReadDeadline(c.point.Deadline())
	}
	return c
}

// Read implements net.Conn. A record that brings nothing, or an empty line that is forgiven, leaves the connection as idle as it was.
func (c *conn) Read(p []byte) (int, error) {
	for {
		if c.waits(len(p)) {
			err := c.session.Wait(0)
			switch {
			case errors.Is(err, handover.ErrLetGo) && c.leave():
				return 0, io.EOF
			case errors.Is(err, handover.ErrLetGo):
				continue // to be asked again
			case err != nil:
				return 0, err
			}
		}
		n, err := c.Conn.ReadRecord(p)
		if n > 0 {
			n = c.hear(p[:n])
		}
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
	}
}

// waits reports whether a read of so many bytes is at the idle point.
func (c *conn) waits(room int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.point.Stands(room) && !c.Conn.Pending()
}

// hear notes that bytes are to reach net/http, and returns how many of them do.
func (c *conn) hear(p []byte) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.point.Forgive(p)
	if n > 0 && c.point.Hear() {
		_ = c.Conn.SetReadDeadline(c.point.Deadline())
	}
	return n
}

// leave takes the connection out of this process's hands. It reports false where that cannot be.
func (c *conn) leave() bool {
	state, err := c.Conn.Detach()
	if err != nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = &established{record: state, tls: c.tls, came: &arrival{fresh: c.point.Unasked(), age: time.Since(c.accepted), wait: c.point.Left()}}
	return true
}

// Carry implements handover.SessionCarrier: the program's session leaves with the connection. What it had read and not used comes before
// what is decrypted here.
func (c *conn) Carry(kind string, state, unread []byte) error {
	left := &established{tls: c.tls, above: &session{kind, state}, came: &arrival{age: time.Since(c.accepted)}}
	if size := left.size() + len(unread) + c.Conn.Opened(); size > handover.MaxCarrierState {
		return fmt.Errorf("with its connection it would take %d bytes along, at most %d", size, handover.MaxCarrierState)
	}
	last, err := c.Conn.Detach()
	if err != nil {
		return err
	}
	last.Plain = slices.Concat(unread, last.Plain)
	left.record = last
	c.left = left
	c.closing.Do(func() { close(c.done) })
	return nil
}

// ObserveState follows net/http's view of the connection.
func (c *conn) ObserveState(s http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.point.Observe(s)
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Conn.SetReadDeadline(c.point.SetDeadline(t))
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	if err := c.SetWriteDeadline(t); err != nil {
		return err
	}
	return c.SetReadDeadline(t)
}

// Close implements net.Conn. Of a connection that has left it ends net/http's part alone.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.closing.Do(func() { close(c.done) })
	return err
}

// ConnectionState is that of the handshake. After a move it cannot export keying material.
func (c *conn) ConnectionState() tls.ConnectionState { return c.tls }

// NetConn returns the session.
func (c *conn) NetConn() net.Conn { return c.session }
