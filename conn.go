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

	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// httpBufferSize is the size of the buffer into which net/http's server reads. When it offers all of it on an idle
// connection, no byte of the next request is hidden in it. TestIdlePointOfNetHTTP holds it to the Go that compiles us.
const httpBufferSize = 4096

// conn is an accepted connection. It stands below TLS and below net/http, passes bytes through, and knows one thing more:
// when nothing of the connection is in this process's memory, so that another process can go on with it. That is its idle
// point.
type conn struct {
	net.Conn // the kernel's connection: *net.TCPConn or *net.UnixConn
	ln       *listener
	accepted time.Time
	preview  bool // made by the incumbent, for a check; the loop of life's

	mu       sync.Mutex
	phase    phase
	heard    bool          // a byte was delivered since phase became fresh or idle
	turns    int           // how often the read deadline was set since phase became idle
	forgive  int           // how many CR and LF more before the next request are passed over
	reading  bool          // a goroutine is in Conn.Read
	offered  int           // what room that read, or the one to come, offers
	kicked   bool          // a deadline in the past stands on Conn, to end the read
	asked    time.Time     // the read deadline as the server set it
	deadline time.Time     // the one in force
	taken    bool          // captured: it is the migration's, and the server has had its EOF
	lingers  bool          // closed by the server, see linger
	bound    bool          // it stays in this process: no other generation takes it
	called   bool          // it is to follow, from its next idle point on
	begun    int           // how many of its first bytes were looked at
	arrival  *arrival      // of a connection that was given, until its first request is read
	unread   []byte        // came along with a given connection
	shift    time.Duration // what arrival adds to deadlines
	luggage  *luggage      // of a session that was let go
	inflow   inflow        // what the client has sent
}

// phase is where net/http stands with a connection.
type phase uint8

const (
	foreign  phase = iota // no server that Attach knows has it
	fresh                 // accepted, no request yet
	active                // in a request
	idle                  // between two
	hijacked              // the handler has it
)

// arrival is what a given connection brought along about its deadlines.
type arrival struct {
	at    time.Time     // when it was given
	fresh bool          // no request was read on it anywhere
	wait  time.Duration // what remained of the deadline for its next byte; 0: none
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
		if !c.inflow.looked && (c.phase == fresh || c.phase == idle && c.turns == 1) {
			c.inflow.look(c.ln.set.mode.Load() == modeStay || !c.waiting())
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
			_ = c.Conn.SetReadDeadline(c.deadline)
		}
		if n > 0 && c.forgive > 0 {
			if n = c.forgiveLocked(p[:n]); n == 0 && err == nil {
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

func (c *conn) readLocked(p []byte) (int, error) {
	c.reading, c.offered = true, len(p)
	c.mu.Unlock()
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	c.reading = false
	return n, err
}

// idleLocked reports whether a read that offers room bytes stands at the idle point. Before the first byte of a connection
// nothing can be hidden anywhere. Between requests net/http may hold the beginning of the next one (pipelining, a
// background read): then it offers less than its whole buffer, or, where it has parsed that beginning already, has set the
// deadline for the request after the one for being idle.
func (c *conn) idleLocked(room int) bool {
	if !c.ln.plainHTTP || c.bound || c.heard || len(c.unread) > 0 {
		return false
	}
	return c.phase == fresh || c.phase == idle && room == httpBufferSize && c.turns == 1
}

// leaveLocked captures or retires the connection if it is at its idle point.
func (c *conn) leaveLocked(room int) bool {
	mode := c.ln.set.mode.Load()
	if mode == modePart || mode == modeFollow && !c.called || !c.idleLocked(room) {
		return false
	}
	if mode == modeRetire {
		// The service ends. A request that has come already is answered. A client that has just connected gets the time
		// for its first request that http.Server.Shutdown would give it.
		return !c.waiting() && (!c.unasked() || time.Since(c.accepted) > freshGrace)
	}
	c.taken = true
	if !c.ln.set.captured(c) {
		_ = c.Conn.Close()
	}
	return true
}

// waiting reports whether bytes of the client are waiting in the kernel.
func (c *conn) waiting() bool {
	sc, ok := c.Conn.(syscall.Conn)
	return ok && platform.Readable(sc)
}

// freshGrace is how long an ending service waits for the first request of a connection, as net/http does.
const freshGrace = 5 * time.Second

// hearLocked notes that bytes reached the server. A given connection's first request starts its deadlines now.
func (c *conn) hearLocked(p []byte) {
	c.inflow.add(p)
	if c.begun < len(http2Preface) {
		c.soundLocked(p)
	}
	if c.heard {
		return
	}
	c.heard = true
	if a := c.arrival; a != nil && !a.fresh {
		c.shift = time.Since(a.at)
		_ = c.setReadDeadlineLocked(c.asked)
	}
}

// forgiveLocked removes empty lines from the beginning of p. A server should forgive one before a request (RFC 9112, section
// 2.2). net/http does after a POST, and the one that is given a connection does not know what was asked on it before.
func (c *conn) forgiveLocked(p []byte) int {
	skip := 0
	for skip < min(len(p), c.forgive) && (p[skip] == '\r' || p[skip] == '\n') {
		skip++
	}
	c.forgive -= skip
	if skip < len(p) {
		c.forgive = 0
	}
	return copy(p, p[skip:])
}

// forgiven is how many bytes net/http looks at for empty lines after a POST.
const forgiven = 4

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
	if !c.ln.plainHTTP || c.bound || c.taken || c.phase == hijacked {
		return false
	}
	c.called = true
	c.interruptLocked()
	return true
}

// interrupt makes a read that waits at the idle point look again.
func (c *conn) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.interruptLocked()
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
	c.turns++
	c.asked, c.deadline = t, c.arrivalDeadlineLocked(t)
	if c.kicked {
		return nil // stands in the past until the read has seen it
	}
	return c.Conn.SetReadDeadline(c.deadline)
}

// arrivalDeadlineLocked corrects a deadline that net/http computed from the moment at which a connection was given to it.
// To the client that moment does not exist: until the first byte the deadline that was running goes on, and those for
// reading the request begin with its first byte (or, where no request was ever read, when the client connected).
func (c *conn) arrivalDeadlineLocked(t time.Time) time.Time {
	a := c.arrival
	switch {
	case a == nil || t.Equal(past):
		return t
	case c.heard || a.fresh:
		if t.IsZero() {
			return t
		}
		return t.Add(c.shift)
	case a.wait > 0:
		return a.at.Add(a.wait)
	default:
		return time.Time{}
	}
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
	if !taken && c.inflow.http2 && c.phase != foreign && c.ln.set.lingers() {
		c.lingers = true
		c.mu.Unlock()
		go c.linger()
		return nil
	}
	// Where the service ends, net/http closes what it takes to be idle, from without: a connection whose next head has come
	// in part is idle to it. That request is answered.
	asked := c.reading && !c.inflow.secure && c.ln.set.mode.Load() == modeRetire && (c.phase == fresh || c.phase == idle) && (c.heard || c.waiting())
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
	switch s {
	case http.StateNew:
		c.phase = fresh
	case http.StateActive:
		c.phase, c.arrival = active, nil
	case http.StateIdle:
		c.phase, c.heard, c.turns = idle, false, 0
		c.inflow.answered()
	case http.StateHijacked:
		c.phase = hijacked
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
	defer c.mu.Unlock()
	return c.ln.plainHTTP && !c.bound
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
		return !c.inflow.halfway() && !c.waiting()
	}
}

// unasked reports whether no request was read on the connection, here or in a generation before.
func (c *conn) unasked() bool { return c.phase == fresh && (c.arrival == nil || c.arrival.fresh) }

// describe says what the next process must know of a captured connection.
func (c *conn) describe(id uint64) wire.Conn {
	w := wire.Conn{ID: id, Key: c.ln.spec.Key(), Age: time.Since(c.accepted)}
	if l := c.luggage; l != nil {
		w.Type, w.Name, w.Unread, w.State = wire.ConnSession, l.kind, l.unread, l.state
		return w
	}
	w.Type, w.Fresh = wire.ConnHTTP1, c.unasked()
	if !c.deadline.IsZero() {
		w.Wait = max(time.Until(c.deadline), time.Nanosecond)
	}
	return w
}

// given makes the connection that another generation, or this one, captured one of l's.
func given(l *listener, raw net.Conn, w wire.Conn) *conn {
	now := time.Now()
	c := &conn{
		Conn: raw, ln: l, accepted: now.Add(-w.Age), unread: w.Unread,
		arrival: &arrival{at: now, fresh: w.Fresh, wait: w.Wait},
	}
	if w.Fresh {
		c.shift = -w.Age
	} else {
		c.forgive = forgiven
	}
	// The kick that ended the last read still stands on the descriptor's poller, or nothing does: set what holds now.
	c.deadline = c.arrivalDeadlineLocked(time.Time{})
	_ = raw.SetReadDeadline(c.deadline)
	return c
}
