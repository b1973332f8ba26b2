package handover

import (
	"context"
	"errors"
	"fmt"

	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// keeper is the stable parent of the service, as a generation sees it. It holds every listener as well, starts every
// successor, and has a vote; this generation goes on without it when it dies.
type keeper struct {
	*peer.Peer
	life *life

	registered []*socket   // in the order of REGISTER
	admission  chan error  // has room for the keeper's vote before READY; nil once it was given
	asked      func(ended) // waits for the end of the handover that the keeper was asked for; nil if it was not
	request    uint32      // the number of the last question; a late answer to an earlier one is none to this
}

// parentKeeper takes over the link that the keeper gave this process. It returns nil if the keeper has died since.
func (l *life) parentKeeper(socket *platform.Socket) error {
	p, err := parent(socket)
	if err != nil || p == nil {
		return err
	}
	k := &keeper{Peer: p, life: l}
	self, err := platform.SelfPidfd()
	if err != nil {
		p.Close()
		return fmt.Errorf("open own pidfd: %w", withRemedy(err))
	}
	defer func() { _ = self.Close() }()
	hello := l.process.hello(wire.RoleKeeper)
	if err := k.sent(0, &hello, self.FD()); errors.Is(err, wire.ErrTooManyInFlight) {
		p.Close()
		return withRemedy(err)
	}
	l.keeper = k
	p.Observe(l.inbox, l.done)
	return nil
}

// joinKeeper takes a new keeper in the place of one that has died. From now on it answers at the takeover socket.
func (l *life) joinKeeper(p *peer.Peer, deny func(ended)) {
	switch {
	case l.keeper != nil:
		deny(ended{err: fmt.Errorf("%w: the service has a keeper, process %d", ErrDenied, l.keeper.Process.PID()), code: wire.CodeDenied})
		return
	case l.attempt != nil || l.state != serving:
		deny(ended{err: fmt.Errorf("%w: state %s", ErrInProgress, l.state), code: wire.CodeBusy})
		return
	}
	self, err := platform.SelfPidfd()
	if err != nil {
		deny(ended{err: withRemedy(err), code: wire.CodeFailed})
		return
	}
	defer func() { _ = self.Close() }()
	hello := l.process.hello(wire.RoleIncumbent)
	hello.Generation = l.generation
	fds := []int{self.FD()}
	if fd, ok := l.process.door.hand(); ok {
		hello.Takeover = true
		fds = append(fds, fd)
	}
	k := &keeper{Peer: p, life: l}
	if err := k.sent(0, &hello, fds...); err != nil {
		deny(ended{err: withRemedy(err), code: wire.CodeFailed})
		l.process.door.open(l) // nobody was given what answers there
		return
	}
	l.keeper = k
	l.log.Info("a keeper has come", "pid", p.Process.PID(), "build", p.Build.String())
	l.keeper.register()
	l.keeper.send(0, l.standing(""))
	p.Observe(l.inbox, l.done)
}

// send puts a frame on the link. A keeper that cannot be reached has died, or is about to: its death will be reported.
func (k *keeper) send(id uint32, m wire.Message, fds ...int) { _ = k.sent(id, m, fds...) }

// sent is send, and says why not. After wire.ErrTooManyInFlight the link is whole.
func (k *keeper) sent(id uint32, m wire.Message, fds ...int) error {
	err := k.Link.Send(id, m, fds...)
	if err != nil {
		k.life.log.Debug("the keeper was not told", "frame", m.Kind().String(), "error", err)
	}
	if err != nil && !errors.Is(err, wire.ErrTooManyInFlight) {
		_ = k.Link.Finish()
	}
	return err
}

// reported handles what the keeper says, and its end.
func (k *keeper) reported(r peer.Report) {
	switch {
	case r.Fault != nil:
		k.life.log.Error("the keeper needs what this build does not know: it is let go", "error", r.Fault)
		k.lost("it cannot be understood")
	case r.On == peer.Spoke:
		k.said(r.Frame)
	default:
		k.lost(r.Why)
	}
}

func (k *keeper) said(f *wire.Frame) {
	l := k.life
	switch m := f.Message.(type) {
	case *wire.Hello:
		k.greeted(f, m)
	case *wire.Ack:
		k.sendListeners(m)
	case *wire.Vote:
		k.voted(f, m)
	case *wire.Successor:
		k.introduced(f)
		return
	case *wire.Preview:
		l.preview(f, m)
		return
	case *wire.Redirect:
		if l.state == draining && len(f.Descriptors) == 2 { // else it is no word on the handover that may be under way
			l.follow.redirect(f, m)
			return
		}
	case *wire.Final:
		k.succeeded(f, m)
		return
	case *wire.Status:
		k.send(f.Attempt, &wire.Reply{Status: l.status()})
	case *wire.Stats:
		gather, id := l.stats(), f.Attempt
		l.background(l.process.context, func(context.Context) { k.send(id, &wire.Reply{Stats: []wire.Figures{gather()}}) })
	case *wire.Stop:
		l.raise(onStop, "asked by the keeper")
	case *wire.Reply:
		k.answered(f, m)
	}
	peer.CloseDescriptors(f)
}

// greeted takes the copy of the takeover socket that comes with the keeper's HELLO, behind its pidfd.
func (k *keeper) greeted(f *wire.Frame, m *wire.Hello) {
	k.Build, k.Protocol = m.Build, m.Protocol
	if m.Takeover && len(f.Descriptors) == 2 {
		k.life.process.door.hold(f.Descriptors[1])
		f.Descriptors = f.Descriptors[:1]
	}
}

// register has the keeper hold every listener of this generation.
func (k *keeper) register() {
	k.registered = k.life.process.sockets.offers()
	m := &wire.Register{Generation: k.life.generation, Listeners: []wire.Listener{}}
	for _, ln := range k.registered {
		m.Listeners = append(m.Listeners, ln.spec)
	}
	k.send(0, m)
	k.sendListeners(&wire.Ack{})
}

// sendListeners sends the batch that follows what was acknowledged. A generation whose listeners the keeper cannot hold does not
// become ready.
func (k *keeper) sendListeners(m *wire.Ack) {
	var err, unsent error
	if m.Lost || m.Next < 0 || m.Next > len(k.registered) {
		err = errors.New("raise its RLIMIT_NOFILE")
	} else {
		err = sendListeners(k.registered, m.Next, func(l *wire.Listeners, fds ...int) { unsent = k.sent(0, l, fds...) })
	}
	if errors.Is(unsent, wire.ErrTooManyInFlight) {
		err = withRemedy(unsent)
	}
	if err != nil {
		err = fmt.Errorf("the keeper does not hold the %d listeners: %w", len(k.registered), err)
		if k.admission == nil {
			k.life.log.Error("a death of this generation refuses clients", "error", err)
		}
		k.admitted(err)
	}
}

// admit asks for the keeper's vote on this generation, which wants to be ready. The answer, nil if the keeper agrees or dies,
// comes out of the channel.
func (k *keeper) admit() <-chan error {
	k.admission = make(chan error, 1)
	k.register()
	return k.admission
}

func (k *keeper) admitted(err error) {
	if k.admission != nil {
		k.admission <- err
		k.admission = nil
	}
}

// voted takes the keeper's vote: on this generation before it is ready, later on its successor.
func (k *keeper) voted(f *wire.Frame, m *wire.Vote) {
	a := k.life.attempt
	switch {
	case k.admission != nil && m.Verdict == wire.VotePass:
		k.admitted(nil)
	case k.admission != nil && m.Verdict == wire.VoteFail:
		k.admitted(fmt.Errorf("the keeper's check: %s", m.Reason))
	case a != nil && a.request == f.Attempt:
		k.life.voted(*m)
	}
}

// succeeded takes links to generations that drain, and whose own successor has died.
func (k *keeper) succeeded(f *wire.Frame, m *wire.Final) {
	l := k.life
	if f.Lost || len(f.Descriptors) != 2*len(m.Draining) {
		peer.CloseDescriptors(f)
		l.log.Error("generations that drain keep their connections: their links did not arrive: raise RLIMIT_NOFILE", "draining", len(m.Draining))
		return
	}
	for _, d := range l.departed(m.Draining, f.Descriptors) {
		l.drainers = append(l.drainers, d)
		d.Observe(l.inbox, l.done)
	}
}

// introduced begins a handover to a process that the keeper has started.
func (k *keeper) introduced(f *wire.Frame) {
	answer := func(e ended) { k.send(f.Attempt, e.reply()) }
	if len(f.Descriptors) != 2 {
		peer.CloseDescriptors(f)
		answer(ended{err: errors.New("the successor's link or pidfd did not arrive: raise RLIMIT_NOFILE of the service"), code: wire.CodeFailed})
		return
	}
	p, err := peer.New(f.Descriptors[0], f.Descriptors[1], 0)
	if err != nil {
		answer(ended{err: fmt.Errorf("take the successor: %w", withRemedy(err)), code: wire.CodeFailed})
		return
	}
	asked := k.asked
	k.asked = nil
	k.life.upgrade(wire.Upgrade{}, &candidate{peer: p, deny: func(ended) { p.Close() }}, func(e ended) {
		answer(e)
		if asked != nil {
			asked(e)
		}
	})
	if k.life.peer == p {
		k.life.attempt.request = f.Attempt
	}
}

// ask has the keeper start a successor.
func (k *keeper) ask(wish wire.Upgrade, waiter func(ended)) {
	if k.asked != nil {
		if waiter != nil {
			n := int(k.life.attempts) + 1
			waiter(ended{Result{Attempt: n}, fmt.Errorf("%w: attempt %d, its successor is being started", ErrInProgress, n), wire.CodeBusy})
		}
		return
	}
	if waiter == nil {
		waiter = func(ended) {}
	}
	k.asked = waiter
	k.life.log.Info("the keeper is asked for a successor", "keeper", k.Process.PID())
	k.request++
	k.send(k.request, &wire.Upgrade{Binary: wish.Binary, Dir: wish.Dir, Digest: wish.Digest, Rollback: wish.Rollback, Keeper: wish.Keeper, Label: wish.Label, Start: wish.Start})
}

// answered is the keeper's refusal of what was asked, or the end of what became a handover of this generation.
func (k *keeper) answered(f *wire.Frame, m *wire.Reply) {
	if f.Attempt == k.request {
		k.refuse(endedBy(m))
	}
}

func (k *keeper) refuse(e ended) {
	asked := k.asked
	k.asked = nil
	if asked != nil {
		asked(e)
	}
}

// lost goes on without the keeper: every vote of its is withdrawn, and the incumbent answers at the takeover socket.
func (k *keeper) lost(why string) {
	l := k.life
	l.log.Warn("the keeper is gone: the service goes on without it", "pid", k.Process.PID(), "how", why)
	l.keeper = nil
	k.refuse(ended{err: fmt.Errorf("%w: the keeper is gone: %s", ErrAborted, why), code: wire.CodeFailed})
	k.admitted(nil)
	if a := l.attempt; a != nil {
		l.voted(wire.Vote{})
	}
	if l.state >= serving && l.state < draining {
		l.process.door.open(l)
	}
	l.follow.abandoned()
	k.Close()
}

// standing says where this generation stands.
func (l *life) standing(why string) *wire.State {
	return &wire.State{
		State: l.state.String(), Generation: l.generation, PID: l.process.pid, Attempt: l.number(),
		Connections: l.process.sockets.count(), Reason: why,
	}
}

// watcher hears where this generation stands.
type watcher chan<- wire.State

// tellState tells the keeper, and whoever watches, of a new state. A watcher that does not keep up misses some.
func (l *life) tellState(why string) {
	if l.keeper == nil && len(l.watchers) == 0 {
		return
	}
	s := l.standing(why)
	if l.keeper != nil {
		l.keeper.send(0, s)
	}
	for _, w := range l.watchers {
		select {
		case w <- *s:
		default:
		}
	}
}
