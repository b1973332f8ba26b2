package handover

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/handover-go/handover/internal/idle"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// conn is an accepted connection. It stands below TLS and below net/http, passes bytes through, and knows one thing more:
// when nothing of the connection is in this process's memory, so that another process can go on with it. That is its idle
// point.
type conn struct {
	net.Conn // the kernel's connection: *net.TCPConn or *net.UnixConn
	ln       *listener
	accepted time.Time
	preview  bool                 // made by the incumbent, for a check; the loop of life's
	admitted func(*Session) error // serves the session that has come with it

	mu      sync.Mutex
	point   idle.Point
	reading bool     // a goroutine is in Conn.Read
	offered int      // what room that read, or the one to come, offers
	kicked  bool     // a deadline in the past stands on Conn, to end the read
	taken   bool     // captured: it is the migration's, and the server has had its EOF
	lingers bool     // closed by the server, see linger
	bound   bool     // it stays in this process: no other generation takes it
	called  bool     // it is to follow, from its next idle point on
	begun   int      // how many of its first bytes were looked at
	unread  []byte   // came along with a given connection
	session *Session // that it has become
	luggage *luggage // of a session that was let go
	inflow  inflow   // what the client has sent
}

func newConn(l *listener, raw net.Conn) *conn {
	return &conn{Conn: raw, ln: l, accepted: time.Now()}
}

// Read implements net.Conn. At an idle point, when connections are to leave, it captures the connection and reports io.EOF
// to the server, which closes; the close does not reach the kernel.
func (c *conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if c.taken {
			return 0, io.EOF
		}
		if c.lingers {
			return 0, net.ErrClosed
		}
		if !c.inflow.looked && c.point.Between() {
			c.lookLocked()
		}
		if len(c.unread) > 0 {
			n := copy(p, c.unread)
			c.unread = c.unread[n:]
			c.hearLocked(p[:n])
			return n, nil
		}
		if c.ln.set.mode.Load() != modeStay && c.leaveLocked(len(p)) {
			return 0, io.EOF
		}
		n, err := c.readLocked(p)
		kicked := c.kicked
		if kicked {
			// The server's own deadline holds again; if it is over, the next read says so.
			c.kicked = false
			_ = c.Conn.SetReadDeadline(c.point.Deadline())
		}
		if n > 0 {
			if n = c.point.Forgive(p[:n]); n == 0 && err == nil {
				continue
			}
		}
		if n > 0 {
			c.hearLocked(p[:n])
		}
		if n > 0 || !kicked || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		// The kick ended the read before a byte came: look again.
	}
}

// lookLocked notes that the server looks for a request.
func (c *conn) lookLocked() { c.inflow.look(c.ln.set.mode.Load() == modeStay || !c.waiting()) }

func (c *conn) readLocked(p []byte) (int, error) {
	c.reading, c.offered = true, len(p)
	c.mu.Unlock()
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	c.reading = false
	return n, err
}

// idleLocked reports whether a read that offers room bytes stands at the idle point of a connection that can follow.
func (c *conn) idleLocked(room int) bool {
	return c.ln.plainHTTP && !c.bound && len(c.unread) == 0 && c.point.Stands(room)
}

// leaveLocked captures or retires the connection if it is at its idle point.
func (c *conn) leaveLocked(room int) bool {
	mode := c.ln.set.mode.Load()
	if mode == modePart || mode == modeFollow && !c.called || !c.idleLocked(room) {
		return false
	}
	if mode == modeRetire {
		return c.retiresLocked()
	}
	c.taken = true
	if !c.ln.set.captured(c) {
		_ = c.Conn.Close()
	}
	return true
}

// retiresLocked reports whether a connection at its idle point is to end with the service. A request that has come already is answered. A client
// that has just connected gets the time for its first request that http.Server.Shutdown would give it.
func (c *conn) retiresLocked() bool {
	return !c.waiting() && (!c.point.Unasked() || time.Since(c.accepted) > freshGrace)
}

// waiting reports whether bytes of the client are waiting in the kernel.
func (c *conn) waiting() bool {
	sc, ok := c.Conn.(syscall.Conn)
	return ok && platform.Readable(sc)
}

// freshGrace is how long an ending service waits for the first request of a connection, as net/http does.
const freshGrace = 5 * time.Second

// hearLocked notes that bytes reached the server.
func (c *conn) hearLocked(p []byte) {
	c.inflow.add(p)
	if c.begun < len(http2Preface) {
		c.soundLocked(p)
	}
	if c.point.Hear() {
		_ = c.enforceLocked()
	}
}

// http2Preface is how unencrypted HTTP/2 begins, and no HTTP/1.1 request (RFC 9113, section 3.4).
const http2Preface = "PRI"

// soundLocked looks at a connection's first bytes. One that speaks HTTP/2 stays here: net/http calls it idle while it reads a
// frame.
func (c *conn) soundLocked(p []byte) {
	for _, b := range p {
		if b != http2Preface[c.begun] {
			c.begun = len(http2Preface)
			return
		}
		if c.begun++; c.begun == len(http2Preface) {
			c.bound, c.inflow.http2 = true, true
			return
		}
	}
}

// ask wants the connection to follow from its idle point, where it may stand now. It reports false if no connection like it does.
func (c *conn) ask() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ln.plainHTTP || c.bound || c.taken || c.point.Phase == idle.Hijacked {
		return false
	}
	c.called = true
	c.interruptLocked()
	return true
}

// interrupt makes a read that waits at the idle point look again.
func (c *conn) interrupt() {
	c.mu.Lock()
	c.interruptLocked()
	s := c.session
	c.mu.Unlock()
	if s != nil {
		s.interrupt()
	}
}

func (c *conn) interruptLocked() {
	if c.reading && !c.kicked && c.idleLocked(c.offered) {
		c.kicked = true
		_ = c.Conn.SetReadDeadline(past)
	}
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.setReadDeadlineLocked(t)
}

func (c *conn) setReadDeadlineLocked(t time.Time) error {
	if c.lingers {
		return net.ErrClosed
	}
	c.point.SetDeadline(t)
	return c.enforceLocked()
}

// enforceLocked has the deadline hold that should.
func (c *conn) enforceLocked() error {
	if c.kicked {
		return nil // stands in the past until the read has seen it
	}
	return c.Conn.SetReadDeadline(c.point.Deadline())
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.Conn.SetWriteDeadline(t); err != nil {
		return err
	}
	return c.setReadDeadlineLocked(t)
}

// Close implements net.Conn. The close of a connection that was captured ends the server's part in it, no more.
func (c *conn) Close() error {
	c.mu.Lock()
	taken := c.taken || c.lingers
	if !taken && c.inflow.http2 && c.point.Phase != idle.Foreign && c.ln.set.lingers() {
		c.lingers = true
		c.mu.Unlock()
		go c.linger()
		return nil
	}
	// Where the service ends, net/http closes what it takes to be idle, from without: a connection whose next head has come
	// in part is idle to it. That request is answered.
	asked := c.reading && !c.inflow.secure && c.ln.set.mode.Load() == modeRetire && (c.point.Phase == idle.Fresh || c.point.Phase == idle.Idle) && (c.point.Heard() || c.waiting())
	c.mu.Unlock()
	if taken || asked {
		return nil
	}
	c.ln.set.closed(c)
	return c.Conn.Close()
}

// observe follows net/http's view of the connection.
func (c *conn) observe(s http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.point.Observe(s); s == http.StateIdle {
		c.inflow.answered()
	}
}

// ReadFrom keeps sendfile and splice for net/http's answers.
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	if rf, ok := c.Conn.(io.ReaderFrom); ok {
		return rf.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{c.Conn}, r)
}

// CloseWrite shuts down the writing side.
func (c *conn) CloseWrite() error {
	if cw, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return errors.ErrUnsupported
}

// SyscallConn gives access to the kernel's connection.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	return c.Conn.(syscall.Conn).SyscallConn()
}

// NetConn returns the kernel's connection, a *net.TCPConn or *net.UnixConn, for options that this type does not forward.
// Reading from it, and setting its read deadline, takes the connection out of handover's sight.
func (c *conn) NetConn() net.Conn { return c.Conn }

// follows reports whether the connection can go to another generation.
func (c *conn) follows() bool {
	c.mu.Lock()
	s, itself := c.session, c.ln.plainHTTP && !c.bound
	c.mu.Unlock()
	if s != nil {
		return s.follows()
	}
	return itself
}

// alone reports, as the handler of r begins, whether nothing else that the client has sent is here: no other request was read,
// and none waits in the kernel.
func (c *conn) alone(r *http.Request) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	behind := c.inflow.claim(r)
	switch {
	case r.ContentLength < 0, r.ContentLength > 0 && behind < 0:
		return c.inflow.polite() // some of its body is still to come: what waits is taken for that
	case behind != 0 && !(c.inflow.odd && c.inflow.polite()), c.inflow.leads():
		return false
	default:
		return !c.inflow.halfway() && !c.waiting() && c.inflow.awaits()
	}
}

// served notes that the handler of r has ended. What has come by then was sent before its client had the answer.
func (c *conn) served(r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inflow.served(r, c.waiting())
}

// describe says what the next process must know of a captured connection.
func (c *conn) describe(id uint64) wire.Conn {
	w := wire.Conn{ID: id, Key: c.ln.spec.Key(), Age: time.Since(c.accepted)}
	if l := c.luggage; l != nil {
		w.Type, w.Name, w.Unread, w.State = wire.ConnSession, l.kind, l.unread, l.state
		return w
	}
	w.Type, w.Fresh, w.Wait = wire.ConnHTTP1, c.point.Unasked(), c.point.Left()
	return w
}

// given makes the connection that another generation, or this one, captured one of l's.
func given(l *listener, raw net.Conn, w wire.Conn) *conn {
	c := &conn{Conn: raw, ln: l, accepted: time.Now().Add(-w.Age), unread: w.Unread, point: idle.Arrived(w.Fresh, w.Age, w.Wait)}
	// The kick that ended the last read still stands on the descriptor's poller, or nothing does: set what holds now.
	_ = c.enforceLocked()
	return c
}
