package handover

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/handover-go/handover/internal/wire"
)

// sessions are the sessions of a process, and what serves them by kind.
type sessions struct {
	sockets *sockets
	log     *slog.Logger

	mu      sync.Mutex
	kinds   map[string]*sessionKind
	refused map[string]bool // kinds that the generation to which connections follow does not take
	present map[*Session]struct{}
	running int           // handlers, and those who wait for what becomes of a session
	none    chan struct{} // unless nil: closed when running is 0
}

// sessionKind is what the program has registered for sessions of one kind.
type sessionKind struct {
	serve func(*Session) error
	admit func(state []byte) (serve func(*Session) error, err error) // nil: all are admitted, and served by serve
	most  int                                                        // bytes of state
}

func newSessions(s *sockets, log *slog.Logger) *sessions {
	return &sessions{
		sockets: s, log: log,
		kinds: make(map[string]*sessionKind), refused: make(map[string]bool), present: make(map[*Session]struct{}),
	}
}

// Sessions has serve called for each connection that is given to ServeSession under kind, and for each that another generation of the
// service lets go under that kind: there it goes on here, with the state and the unread bytes that it had. A build that has no handler for a
// kind does not take its sessions; the generation that has them goes on with them until they end, or Config.DrainTimeout is over.
//
// serve is called in a goroutine for each session, and again for one that came back. When it returns, a session that was not let go is closed.
// kind is 1 to 255 bytes long, and names the protocol together with the format of the state: a build that cannot read what the one before
// writes uses another. Sessions must be called before Run; its errors are a kind that was registered already or is no name.
func (p *Process) Sessions(kind string, serve func(s *Session) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.prepared {
		return fmt.Errorf("register sessions %q: Run was called already", kind)
	}
	if err := p.sessions.register(kind, serve); err != nil {
		return fmt.Errorf("register sessions %q: %w", kind, err)
	}
	return nil
}

// AdmitSessions has admit decide on each session of a kind that another generation would let go to this one, by its state, before this
// generation says that it has it: an error declines that one, and it stays where it is until it ends, or until yet another serves. Without AdmitSessions all are taken.
// admit is called by the goroutine on which a handover depends, and must return soon; it must not keep state. AdmitSessions is called after Sessions, and before Run.
func (p *Process) AdmitSessions(kind string, admit func(state []byte) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.prepared {
		return fmt.Errorf("admit sessions %q: Run was called already", kind)
	}
	k := p.sessions.find(kind)
	if k == nil {
		return fmt.Errorf("admit sessions %q: no such kind is registered", kind)
	}
	k.admit = func(state []byte) (func(*Session) error, error) { return k.serve, admit(state) }
	return nil
}

// ServeSession serves conn as a session of that kind, which [Process.Sessions] has registered. conn came from a listener of p: accepted, or
// hijacked from an attached server; unread are bytes of it that were read already. conn belongs to the session from then on, which begins without
// deadlines. ServeSession returns when the session has ended here: with the error of its handler; nil when it goes on in another generation;
// or an error that wraps [net.ErrClosed] if it was on its way when [Config.DrainTimeout] was over.
//
// While the service hands over, a session stays with the generation that has it, also through probation; when the handover is final it is asked to
// be let go, see [Session.Wait].
func (p *Process) ServeSession(kind string, conn net.Conn, unread []byte) error {
	serve := p.sessions.begin(kind)
	if serve == nil {
		_ = conn.Close()
		return fmt.Errorf("serve session: no handler for kind %q", kind)
	}
	return p.sessions.run(kind, serve, conn, &luggage{unread: slices.Clone(unread)})
}

func (a *sessions) register(kind string, serve func(*Session) error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case kind == "" || len(kind) > maxKind:
		return fmt.Errorf("a kind has 1 to %d bytes", maxKind)
	case serve == nil:
		return errors.New("no handler")
	case a.kinds[kind] != nil:
		return errors.New("it was registered already")
	}
	a.kinds[kind] = &sessionKind{serve: serve, most: MaxSessionState}
	return nil
}

const maxKind = 255

// find returns what is registered for a kind, nil if nothing is. It is constant from Run on.
func (a *sessions) find(kind string) *sessionKind {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.kinds[kind]
}

// fits returns an error where a session takes more along than it may.
func (k *sessionKind) fits(state, unread int) error {
	switch {
	case state > k.most:
		return fmt.Errorf("state of %d bytes, at most %d", state, k.most)
	case unread > MaxSessionUnread:
		return fmt.Errorf("%d bytes unread, at most %d", unread, MaxSessionUnread)
	}
	return nil
}

// decide returns what serves a session that would come, or why it is declined: also if it brings more than could be let go from here.
func (k *sessionKind) decide(state, unread []byte) (serve func(*Session) error, err error) {
	if err := k.fits(len(state), len(unread)); err != nil {
		return nil, err
	}
	if k.admit == nil {
		return k.serve, nil
	}
	return k.admit(state)
}

// judge decides on a session that another generation has let go, and returns what serves it.
func (a *sessions) judge(w wire.Conn) (wire.Verdict, func(*Session) error) {
	k := a.find(w.Name)
	if k == nil {
		return wire.Refused, nil
	}
	serve, err := k.decide(w.State, w.Unread)
	if err != nil {
		a.log.Debug("a session is declined", "kind", w.Name, "error", err)
		return wire.Declined, nil
	}
	return wire.Accepted, serve
}

// begin notes that a session is served, until run returns. It answers nil if there is no handler.
func (a *sessions) begin(kind string) func(*Session) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	k := a.kinds[kind]
	if k == nil {
		return nil
	}
	a.running++
	return k.serve
}

// receive goes on with a session that another generation has let go.
func (a *sessions) receive(c *conn, w wire.Conn) {
	a.begin(w.Name)
	go func() {
		if err := a.run(w.Name, c.admitted, c, &luggage{state: w.State, unread: w.Unread}); err != nil {
			a.log.Debug("session ended", "kind", w.Name, "error", err)
		}
	}()
}

// run serves a session until it has ended here. What becomes of one that was let go becomes of the one that was let go with it.
func (a *sessions) run(kind string, serve func(*Session) error, conn net.Conn, with *luggage) error {
	defer a.end()
	for {
		s := a.open(kind, conn, with)
		err := handle(s, serve)
		if with = s.luggage; with == nil {
			s.tell(nowhere)
			return err
		}
		switch <-with.fate {
		case here:
			with.above = s.above.Swap(nil)
			if with.conn != nil {
				conn = with.conn
			}
		case elsewhere:
			with.forget()
			s.tell(elsewhere)
			return nil
		case nowhere:
			with.forget()
			s.tell(nowhere)
			return fmt.Errorf("session %q on its way: %w", kind, net.ErrClosed)
		}
	}
}

// handle calls the handler. A session that was not let go ends with it, even if it panics.
func handle(s *Session, serve func(*Session) error) error {
	defer func() { _ = s.Close() }()
	return serve(s)
}

// open makes a session of a connection.
func (a *sessions) open(kind string, nc net.Conn, with *luggage) *Session {
	s := &Session{kind: kind, conn: nc, all: a, state: with.state, kept: with.kept, unread: with.unread}
	s.bound.Store(with.bound)
	s.above.Store(with.above)
	if own, ok := nc.(*conn); ok {
		s.own, s.conn = own, own.Conn
		s.unread = append(s.unread, own.become(s, s.unread)...)
	}
	s.carrier = carrierOf(nc)
	_ = s.conn.SetDeadline(time.Time{})
	a.mu.Lock()
	a.present[s] = struct{}{}
	a.mu.Unlock()
	s.ask() // where others have been asked
	return s
}

// forget leaves a session out that is not served any more.
func (a *sessions) forget(s *Session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.present, s)
}

// end notes that run returns.
func (a *sessions) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.running--; a.running == 0 && a.none != nil {
		close(a.none)
		a.none = nil
	}
}

// await waits until every handler has returned, and reports how many have not within d: their connections have gone, or were cut.
func (a *sessions) await(d time.Duration) (left int) {
	a.mu.Lock()
	if a.running > 0 && a.none == nil {
		a.none = make(chan struct{})
	}
	none := a.none
	a.mu.Unlock()
	if none == nil {
		return 0
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-none:
		return 0
	case <-timer.C:
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.running
}

// served are the sessions that are served here now.
func (a *sessions) served() []*Session {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make([]*Session, 0, len(a.present))
	for s := range a.present {
		all = append(all, s)
	}
	return all
}

// leave reports whether sessions of that kind are to be let go.
func (a *sessions) leave(kind string) bool {
	if a.sockets.mode.Load() != modeFollow {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.refused[kind]
}

// refuse has sessions of a kind stay: the generation to which they should go does not take them.
func (a *sessions) refuse(kind string) {
	a.mu.Lock()
	again := a.refused[kind]
	a.refused[kind] = true
	a.mu.Unlock()
	if again {
		return
	}
	a.log.Warn("sessions stay here: the generation that serves does not take them", "kind", kind)
	for _, s := range a.served() {
		if s.kind == kind {
			s.stay()
		}
	}
}

// stay takes back that sessions were asked to be let go.
func (a *sessions) stay() {
	for _, s := range a.served() {
		s.stay()
	}
}

// anew forgets what the last target has refused and declined.
func (a *sessions) anew() {
	a.mu.Lock()
	clear(a.refused)
	a.mu.Unlock()
	for _, s := range a.served() {
		s.unbind()
	}
}
