package handover

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// MaxSessionState is how many bytes of state a session can take along, unless it may carry another, see [MaxCarrierState].
	MaxSessionState = 64 << 10
	// MaxSessionUnread is how many bytes that were read and not used a session can take along.
	MaxSessionUnread = 64 << 10
)

// Session is a connection whose protocol the application owns, while this generation serves it: a [net.Conn] that can go on in
// another generation, between two messages. Its handler, see [Process.Sessions], is written as
//
//	func serve(s *handover.Session) error {
//		count := parse(s.State())
//		in := bufio.NewReader(s)
//		for {
//			if err := s.Wait(in.Buffered()); errors.Is(err, handover.ErrLetGo) {
//				unread, _ := in.Peek(in.Buffered())
//				return s.LetGo(format(count), unread)
//			}
//			line, err := in.ReadString('\n')
//			…
//
// One goroutine at a time reads and waits. Any may write: what was written before LetGo is in the kernel, in order; a Write that
// LetGo finds under way is awaited; from then on reads and writes of the Session fail with [net.ErrClosed]. A goroutine that writes of its own accord
// is best ended before, as what it would have written is the next generation's to write.
type Session struct {
	kind    string
	conn    net.Conn    // the kernel's connection, or, where own is nil, what the program made of one
	own     *conn       // nil: nobody can go on with it but this process, unless it is carried
	carrier *carrier    // unless nil: what it stands on, and leaves with
	bound   atomic.Bool // that it may go to has declined it
	all     *sessions
	state   []byte
	kept    any // under mu
	leaving broadcast

	over    atomic.Bool             // let go or closed; set under mu
	carries atomic.Bool             // another session stands on this one, which leaves when that does
	above   atomic.Pointer[luggage] // of that one, once it has been let go with this one
	writes  sync.RWMutex            // held for reading by who writes

	mu       sync.Mutex
	asked    bool // Wait is to return ErrLetGo
	readers  int  // goroutines in conn.Read
	waiting  bool // one of them is Wait's
	kicked   bool // a deadline in the past stands on conn, to end the wait
	deadline time.Time
	unread   []byte // ahead of what the kernel has
	first    [firstBytes]byte
	luggage  *luggage // let go with this
}

// firstBytes is how much Wait reads of a message: a short one whole, so that it costs one system call as without Wait.
const firstBytes = 512

// State returns what was given to LetGo; nil where the session begins, and not nil, if empty, where it goes on. It is the caller's.
func (s *Session) State() []byte { return s.state }

// Keep has v stay in this process when the session is let go: where no other generation takes it, and it begins again here, Kept returns v. Where it goes on
// elsewhere, v is forgotten. It is not for what the next generation needs to know, which is the state's.
func (s *Session) Keep(v any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = v
}

// Kept returns what was given to Keep last, here; nil where nothing was, as with a session that has just come to this process.
func (s *Session) Kept() any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept
}

// Wait waits between two messages until there is something to read. It returns nil when there is, [ErrLetGo] when the session should
// be let go, whether or not there is, and else the error that a Read would return. buffered is how many bytes the caller itself has
// read and not used, as in a [bufio.Reader]: if there are any, it does not wait. The read deadline holds.
//
// It is at Wait alone that a session is interrupted. A handler that goes on after ErrLetGo, as it cannot let go at this boundary, is
// asked again a second later.
func (s *Session) Wait(buffered int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.over.Load():
			return net.ErrClosed
		case s.asked && s.follows():
			s.asked = false
			return ErrLetGo
		case buffered > 0 || len(s.unread) > 0:
			return nil
		case s.own != nil && s.own.retires():
			return io.EOF
		}
		if s.own != nil {
			s.own.look()
		}
		s.waiting = true
		n, err := s.readLocked(s.first[:])
		s.waiting = false
		kicked := s.kicked
		if kicked {
			// The program's own deadline holds again; if it is over, the next read says so.
			s.kicked = false
			_ = s.conn.SetReadDeadline(s.deadline)
		}
		s.unread = s.first[:n]
		if err != nil && n == 0 && !(kicked && errors.Is(err, os.ErrDeadlineExceeded)) {
			return err
		}
	}
}

// Read implements net.Conn. What was given to LetGo as unread in the generation before comes first.
func (s *Session) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over.Load() {
		return 0, net.ErrClosed
	}
	n, err := copy(p, s.unread), error(nil)
	if s.unread = s.unread[n:]; n == 0 {
		n, err = s.readLocked(p)
	}
	return n, err
}

func (s *Session) readLocked(p []byte) (int, error) {
	s.readers++
	s.mu.Unlock()
	n, err := s.conn.Read(p)
	s.mu.Lock()
	s.readers--
	if s.own != nil {
		s.own.pass(p[:n])
	}
	return n, err
}

// Write implements net.Conn.
func (s *Session) Write(p []byte) (int, error) {
	s.writes.RLock()
	defer s.writes.RUnlock()
	if s.over.Load() {
		return 0, net.ErrClosed
	}
	return s.conn.Write(p)
}

// Leaving returns a channel that is closed when the session should be let go at its next message boundary, as another generation
// serves: for handlers that wait for more than Wait does. If the session stays after all, a fresh channel takes its place. Where it
// cannot leave at all, see LetGo, the channel is never closed; [Process.Draining] tells of every departure.
func (s *Session) Leaving() <-chan struct{} { return s.leaving.wait() }

// LetGo gives the session away at a message boundary: the handler returns, and another generation's goes on. state is what that one
// needs to know, [MaxSessionState] bytes at most, in a format that both builds understand; unread are the bytes read and not used,
// [MaxSessionUnread] at most with those that wait in the Session itself. Both are copied. Deadlines do not go along.
//
// Where no other generation takes the session, now or at all, or the one that should died before it had said that it does, the handler
// is called again here, with a new Session of that state and those bytes: a handler has one way to begin.
//
// On error nothing has happened, and the session goes on: state or unread are too long, a Read is under way, it was let go or closed
// before ([net.ErrClosed]), or its connection is not one that [Process.Listen]'s listener accepted, but made of one, as by TLS or a
// wrapped listener, and not a [SessionCarrier] ([errors.ErrUnsupported]; such a session is never asked to be let go).
func (s *Session) LetGo(state, unread []byte) error {
	err := s.pack(state, unread)
	switch {
	case errors.Is(err, net.ErrClosed):
		return err
	case err != nil:
		return fmt.Errorf("let go session %q: %w", s.kind, err)
	case s.carrier != nil: // its session is let go
	case !s.all.leave(s.kind):
		s.own.comesBack(false)
	case !s.all.sockets.captured(s.own):
		s.own.gone(nowhere)
	}
	return nil
}

// pack makes s nobody's, and its connection ready to go.
func (s *Session) pack(state, unread []byte) error {
	s.writes.Lock()
	defer s.writes.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.over.Load():
		return net.ErrClosed
	case s.own == nil && s.carrier == nil:
		return fmt.Errorf("its connection is no longer as it was accepted: %w", errors.ErrUnsupported)
	case s.readers > 0:
		return errors.New("a Read is under way")
	}
	if err := s.all.find(s.kind).fits(len(state), len(unread)+len(s.unread)); err != nil {
		return err
	}
	if s.carrier != nil {
		return s.board(state, slices.Concat(unread, s.unread))
	}
	s.over.Store(true)
	s.all.forget(s)
	s.luggage = &luggage{kind: s.kind, state: append([]byte{}, state...), unread: slices.Concat(unread, s.unread), kept: s.kept, fate: make(chan fate, 1)}
	s.own.take(s.luggage)
	return nil
}

// ask wants the session let go. It reports false if it is not to be asked.
func (s *Session) ask() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over.Load() || s.carries.Load() || !s.follows() {
		return false
	}
	s.leaving.begin()
	s.asked = true
	if s.waiting && !s.kicked {
		s.kicked = true
		_ = s.conn.SetReadDeadline(past)
	}
	return true
}

// interrupt has a Wait of a session that is to end look again.
func (s *Session) interrupt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting && !s.kicked && s.own.retires() {
		s.kicked = true
		_ = s.conn.SetReadDeadline(past)
	}
}

// follows reports whether the session can go to the generation that serves.
func (s *Session) follows() bool {
	if s.carrier != nil {
		return s.carrier.session.follows()
	}
	return s.own != nil && !s.bound.Load() && s.all.leave(s.kind)
}

// unbind lets the session go to a generation that has not declined it.
func (s *Session) unbind() { s.bound.Store(false) }

// tell has the session that was let go with this one know what becomes of both.
func (s *Session) tell(f fate) {
	if l := s.above.Swap(nil); l != nil {
		l.fate <- f
	}
}

// stay takes ask back.
func (s *Session) stay() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaving.end()
	s.asked = false
}

// Close implements net.Conn. A session that was let go is not closed by it.
func (s *Session) Close() error {
	s.mu.Lock()
	over := s.over.Swap(true)
	s.mu.Unlock()
	if over {
		return nil
	}
	s.all.forget(s)
	if s.own != nil {
		return s.own.Close()
	}
	return s.conn.Close()
}

// LocalAddr implements net.Conn.
func (s *Session) LocalAddr() net.Addr { return s.conn.LocalAddr() }

// RemoteAddr implements net.Conn.
func (s *Session) RemoteAddr() net.Addr { return s.conn.RemoteAddr() }

// SetDeadline implements net.Conn.
func (s *Session) SetDeadline(t time.Time) error {
	if err := s.SetWriteDeadline(t); err != nil {
		return err
	}
	return s.SetReadDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (s *Session) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over.Load() {
		return net.ErrClosed
	}
	s.deadline = t
	if s.kicked {
		return nil // stands in the past until Wait has seen it
	}
	return s.conn.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (s *Session) SetWriteDeadline(t time.Time) error {
	if s.over.Load() {
		return net.ErrClosed
	}
	return s.conn.SetWriteDeadline(t)
}

// NetConn returns the connection below, for options that the Session does not forward. Nothing must be read from it, or written to it.
func (s *Session) NetConn() net.Conn { return s.conn }
