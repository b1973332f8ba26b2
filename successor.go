package handover

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// offer is the handover a successor came from.
type offer struct {
	attempt    uint32
	incumbent  int // its generation
	inherited  []*inherited
	heard      bool          // OFFER came: the incumbent is who it says
	received   int           // of them, how many descriptors have come
	complete   chan struct{} // closed when New may go on
	readsBack  bool          // the incumbent can be brought what is known of peers
	peers      delivery      // what it passes on of peers
	generation int           // this process's, from COMMIT
	final      bool          // FINAL came
	takeover   int           // the takeover socket that came with it, or -1
	draining   []*peer.Peer  // generations that FINAL named
	resumed    string        // why it was taken back
	unpause    func()        // ends what giveBack began, and waits for it
}

// greet says HELLO to the incumbent.
func (l *life) greet() error {
	self, err := platform.SelfPidfd()
	if err != nil {
		return fmt.Errorf("open own pidfd: %w", withRemedy(err))
	}
	defer func() { _ = self.Close() }()
	hello := l.process.hello(wire.RoleSuccessor)
	if err := l.sent(&hello, self.FD()); errors.Is(err, wire.ErrTooManyInFlight) {
		l.giveUp(err)
	}
	return nil
}

// giveUp ends this process before it has taken part, and says why to both sides.
func (l *life) giveUp(err error) {
	l.cause = fmt.Errorf("%w: %w", ErrAborted, err)
	l.send(&wire.Abort{Code: wire.CodeFailed, Reason: err.Error(), Protocol: wire.Protocols, Build: l.process.build})
	l.raise(onAbort, err.Error())
}

// told raises the event of a frame that only an incumbent sends.
func (l *life) told(f *wire.Frame, e event, why string) {
	if _, ok := next(l.state, e); !ok || l.offer == nil {
		l.unexpected(f)
		return
	}
	l.raise(e, why)
}

// offered takes the list of listeners; their descriptors follow.
func (l *life) offered(f *wire.Frame, m *wire.Offer) {
	descriptors := 1
	if m.Executable {
		descriptors = 2
	}
	if l.state != joining || len(l.offer.inherited) > 0 || len(f.Descriptors) != descriptors {
		l.unexpected(f)
		return
	}
	if m.Protocol < wire.Protocols.Min || m.Protocol > wire.Protocols.Max {
		l.misunderstood(f, errors.New("no protocol in common"))
		return
	}
	pidfd, err := platform.PidfdFromFD(f.Descriptors[0])
	f.Descriptors = f.Descriptors[1:]
	if err != nil {
		peer.CloseDescriptors(f)
		l.giveUp(fmt.Errorf("the incumbent's pidfd: %w", withRemedy(err)))
		return
	}
	l.peer.Becomes(pidfd)
	l.wayBack(f, m)
	l.peer.Generation, l.peer.Build, l.peer.Features = m.Generation, m.Build, m.Features
	l.peer.Protocol = wire.Range{Min: m.Protocol, Max: m.Protocol}
	l.offer.heard, l.offer.attempt, l.offer.incumbent = true, f.Attempt, m.Generation
	l.attempts = f.Attempt
	l.generation, l.consumed = m.Generation+1, m.Generation+1 // until COMMIT says otherwise
	l.process.setGeneration(l.generation)
	if m.Counting {
		l.process.counts.begin()
	}
	l.offer.readsBack = m.Schemas[peersItem] == peersSchema
	for _, spec := range m.Listeners {
		l.offer.inherited = append(l.offer.inherited, &inherited{spec: spec, fd: -1})
	}
	l.inherited()
}

// wayBack keeps the incumbent's build, for a rollback. A keeper does that itself. Incumbents of older builds do not pass it on.
func (l *life) wayBack(f *wire.Frame, m *wire.Offer) {
	var err error
	switch {
	case l.keeper != nil:
		peer.CloseDescriptors(f)
	case m.Executable:
		l.process.before, err = executableFrom(os.NewFile(uintptr(f.Descriptors[0]), "executable"))
	default:
		l.process.before, err = executableOf(m.PID)
	}
	if err != nil {
		l.log.Warn("no way back to the incumbent's build", "error", err)
	}
}

// inherit takes the descriptors of one batch and asks for the next.
func (l *life) inherit(f *wire.Frame, m *wire.Listeners) {
	o := l.offer
	if l.state != joining || m.First != o.received || len(f.Descriptors) > len(o.inherited)-o.received || !f.Lost && len(f.Descriptors) == 0 {
		l.unexpected(f)
		return
	}
	if f.Lost {
		l.send(&wire.Ack{Next: o.received, Lost: true})
		l.cause = fmt.Errorf("%w: the incumbent's %d listeners do not fit in this process's table of descriptors: raise RLIMIT_NOFILE", ErrAborted, len(o.inherited))
		l.raise(onAbort, "descriptors lost")
		return
	}
	for _, fd := range f.Descriptors {
		o.inherited[o.received].fd = fd
		o.received++
	}
	l.send(&wire.Ack{Next: o.received})
	l.inherited()
}

// inherited goes on when every descriptor has come.
func (l *life) inherited() {
	o := l.offer
	if o.received < len(o.inherited) {
		return
	}
	l.process.sockets.inherit(o.inherited)
	l.raise(onOffered, "")
	close(o.complete)
}

// check has the program check itself: it adopts what it listens on, starts its servers behind closed gates, and runs Check.
func (l *life) check() {
	l.process.sockets.keepSpares()
	if l.peer != nil && l.state == checking {
		taken, added := l.process.sockets.adopted()
		l.send(&wire.Adopted{Adopted: taken, Added: added})
	}
	l.process.startServers()
	var admission <-chan error
	if l.keeper != nil {
		admission = l.keeper.admit()
	}
	l.background(l.process.context, func(ctx context.Context) {
		if err := l.process.checked(ctx, admission); err != nil {
			l.happen(onCheckFailed, err.Error())
			return
		}
		l.happen(onChecked, "")
	})
}

// preview takes a connection that comes out of a listener's Accept as if a client had made it.
func (l *life) preview(f *wire.Frame, m *wire.Preview) {
	if len(f.Descriptors) != 1 {
		peer.CloseDescriptors(f)
		return
	}
	ln := l.process.sockets.find(m.Key)
	raw, err := platform.Conn(f.Descriptors[0])
	if err != nil || ln == nil {
		l.log.Warn("preview refused", "listener", m.Key, "error", err)
		if err == nil {
			_ = raw.Close()
		}
		return
	}
	c := l.process.sockets.wrap(ln, raw)
	c.preview = true
	if !ln.give(c) {
		_ = c.Close()
	}
}

// orphan goes on with what came of the offer: the incumbent died before it had sent everything, and nobody else holds these
// sockets.
func (l *life) orphan() {
	o := l.offer
	l.process.sockets.inherit(o.inherited[:o.received])
	close(o.complete)
}

// serve begins to accept, at COMMIT.
func (l *life) serve() {
	l.generation, l.consumed = l.offer.generation, l.offer.generation
	l.accept()
	l.send(&wire.Serving{})
	l.log.Info("serving on probation", "attempt", l.number(), "generation", l.generation, "pid", l.process.pid)
}

// open makes this generation the incumbent where no COMMIT did: it is the first, or the one before died before its COMMIT,
// or took everything back and died.
func (l *life) open() {
	if l.offer != nil {
		l.keepPeers(&l.offer.peers)
	}
	l.accept()
	l.incumbent()
}

func (l *life) accept() {
	l.process.setGeneration(l.generation)
	l.process.unpause()
}

// succeed makes a generation that serves on probation the incumbent: FINAL came, or the one before died.
func (l *life) succeed() {
	if l.offer.takeover >= 0 {
		l.process.door.hold(l.offer.takeover)
		l.offer.takeover = -1
	}
	for _, d := range l.offer.draining {
		l.drainers = append(l.drainers, d)
		d.Observe(l.inbox, l.done)
	}
	l.incumbent()
}

// incumbent settles in: the generation before, if it lives, drains from now on.
func (l *life) incumbent() {
	before, final := l.peer, l.offer != nil && l.offer.final
	succeeded := ended{result: Result{
		Attempt: int(l.number()), Outcome: Final, Generation: l.generation, PID: l.process.pid, Build: l.process.build.String(),
	}}
	l.peer, l.offer = nil, nil
	switch {
	case before == nil:
		l.log.Info("serving", "generation", l.generation, "pid", l.process.pid)
	case final && l.keeper != nil && l.keeper.Process.PID() == before.Process.PID():
		before.Close() // the keeper, in the place of a generation that is no more
		l.log.Info("serving", "generation", l.generation, "pid", l.process.pid)
	case final:
		l.last = succeeded
		l.drainers = append(l.drainers, before) // its death, long ago or to come, is reported after all that it sends
		l.log.Info("serving: the handover is final", "generation", l.generation, "pid", l.process.pid)
	default:
		l.last = succeeded
		before.Close()
		l.log.Warn("the incumbent died: this generation serves", "generation", l.generation, "pid", l.process.pid)
	}
	l.process.sockets.dropUnadopted()
	l.process.notifier.serving(before != nil)
	if l.keeper == nil {
		l.process.door.open(l)
	}
	if !slices.Contains(l.drainers, before) { // else it may answer still
		l.unanswered(before)
	}
}

// finalized takes what FINAL brings.
func (l *life) finalized(f *wire.Frame, m *wire.Final) {
	fds := f.Descriptors
	want := 2 * len(m.Draining)
	if m.Takeover {
		want++
	}
	if _, ok := next(l.state, onFinal); !ok || !f.Lost && len(fds) != want {
		l.unexpected(f)
		return
	}
	l.offer.final = true
	if f.Lost {
		// The takeover socket is bound anew, and generations that drain finish where they are.
		l.log.Error("FINAL lost its descriptors: raise RLIMIT_NOFILE", "draining", len(m.Draining))
		l.raise(onFinal, "")
		return
	}
	if m.Takeover {
		l.offer.takeover, fds = fds[0], fds[1:]
	}
	l.offer.draining = l.departed(m.Draining, fds)
	l.raise(onFinal, "")
}

// departed are the generations that drain, by the link and the pidfd that came for each.
func (l *life) departed(draining []wire.Drainer, fds []int) (all []*peer.Peer) {
	for i, d := range draining {
		p, err := peer.New(fds[2*i], fds[2*i+1], d.Generation)
		if err != nil {
			l.log.Warn("a draining generation cannot be reached", "generation", d.Generation, "error", err)
			continue
		}
		p.Features = []string{wire.FeatureRedirect} // or it would not be named; its HELLO may be long in coming
		all = append(all, p)
	}
	return all
}
