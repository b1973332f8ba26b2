package handover

import (
	"fmt"
	"net"
	"slices"
)

// MaxCarrierState is how many bytes of state a session can take along that may carry another: what that one may take along, and 48 KiB of its own. A frame
// with that, and with a record of TLS that has come in part, still enters the buffer of a unix socket at once (net.core.wmem_default is 208 KiB).
const MaxCarrierState = MaxSessionState + MaxSessionUnread + 48<<10

// SessionCarrier is a connection that a session of this process carries, and that can carry another session in turn, as one of TLS carries a
// WebSocket: given to [Process.ServeSession], that other one can leave with it. Its NetConn method leads to the [*Session] below.
type SessionCarrier interface {
	net.Conn
	// Carry ends the connection here, and lets go the session below with what the one above takes along: its kind, state and unread bytes, which
	// it keeps. Where that session goes on, [Process.ContinueSession] is called with them, also where it comes back. On error nothing has happened,
	// as where the session below could not take so much along, and the one above goes on.
	Carry(kind string, state, unread []byte) error
}

// carrier is what a session stands on.
type carrier struct {
	SessionCarrier
	session *Session // below
}

// carrierOf returns what c carries a session on; nil: nothing that can leave.
func carrierOf(c net.Conn) *carrier {
	above, ok := c.(SessionCarrier)
	if !ok {
		return nil
	}
	for below := net.Conn(above); ; {
		if s, ok := below.(*Session); ok {
			s.carries.Store(true)
			return &carrier{above, s}
		}
		next, ok := below.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		below = next.NetConn()
	}
}

// board has s leave with what carries it. Its locks are held.
func (s *Session) board(state, unread []byte) error {
	l, below := &luggage{fate: make(chan fate, 1)}, s.carrier.session
	below.above.Store(l) // before Carry returns, the session below may have gone
	if err := s.carrier.Carry(s.kind, slices.Clone(state), unread); err != nil {
		below.above.Store(nil)
		return err
	}
	s.luggage = l
	s.over.Store(true)
	s.all.forget(s)
	return nil
}

// resume has a session that comes back go on for who has called ServeSession for it. It reports false where that was in another process.
func resume(conn net.Conn, state, unread []byte) bool {
	on := carrierOf(conn)
	if on == nil {
		return false
	}
	l := on.session.above.Swap(nil)
	if l == nil {
		return false
	}
	l.conn, l.state, l.unread = conn, state, unread
	l.fate <- here
	return true
}

// CarrierSessions is [Process.Sessions] for sessions that may carry others, each by a [SessionCarrier]: they can take [MaxCarrierState] bytes of state along.
// admit decides on those that would come, as that of [Process.AdmitSessions] does, and returns what serves the one that it takes, for as long as that is here, in
// place of serve: what admit has found out, as whom to trust, need not be found out again when it is too late to decline.
func (p *Process) CarrierSessions(kind string, serve func(s *Session) error, admit func(state []byte) (serve func(s *Session) error, err error)) error {
	if err := p.Sessions(kind, serve); err != nil {
		return err
	}
	k := p.sessions.find(kind)
	k.admit, k.most = admit, MaxCarrierState
	return nil
}

// AdmitCarried decides on a session that a [SessionCarrier] would bring along, as on one that comes by itself: on error its kind has no handler here, or
// what [Process.AdmitSessions] has declines it.
func (p *Process) AdmitCarried(kind string, state []byte) error {
	k := p.sessions.find(kind)
	if k == nil {
		return fmt.Errorf("no handler for the sessions of kind %q", kind)
	}
	_, err := k.decide(state, nil)
	return err
}

// ContinueSession is [Process.ServeSession] for a session that a [SessionCarrier] has brought along: it goes on with that state, and with
// those unread bytes, which are its own from then on. One that comes back goes on for who has called ServeSession, or ContinueSession, for it before, and
// ContinueSession returns nil at once.
func (p *Process) ContinueSession(kind string, conn net.Conn, state, unread []byte) error {
	if state == nil {
		state = []byte{} // nil is that of one which begins
	}
	if resume(conn, state, unread) {
		return nil
	}
	serve := p.sessions.begin(kind)
	if serve == nil {
		_ = conn.Close()
		return fmt.Errorf("continue session: no handler for kind %q", kind)
	}
	return p.sessions.run(kind, serve, conn, &luggage{state: state, unread: unread})
}

// ServesSessions reports whether sessions of that kind have a handler in this process.
func (p *Process) ServesSessions(kind string) bool { return p.sessions.find(kind) != nil }

// Accepted reports whether c is as a listener of p has accepted it, so that a session of it can be let go, and not what something has made of such a connection.
// Beneath it, as its NetConn method tells, is the kernel's.
func (p *Process) Accepted(c net.Conn) bool {
	own, ok := c.(*conn)
	return ok && own.ln.set == p.sockets
}
