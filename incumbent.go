package handover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// begin starts the successor; one that joined has said its HELLO already.
func (l *life) begin() {
	l.process.notifier.reloading()
	if l.peer != nil {
		pid := l.peer.Process.PID()
		l.peer.Observe(l.inbox, l.done)
		if l.attempt.joined {
			l.log.Info("handover begins: a process joined", "attempt", l.attempt.number, "pid", pid)
			l.offerTo(l.peer)
			return
		}
		l.log.Info("handover begins: the keeper has started the successor", "attempt", l.attempt.number, "pid", pid)
		return
	}
	p, err := l.process.launch.start(l.attempt.command)
	if err != nil {
		l.attempt.refuse(wire.CodeFailed, err)
		l.raise(onDead, err.Error())
		return
	}
	l.log.Info("handover begins: the successor is started", "attempt", l.attempt.number, "pid", p.Process.PID(), "command", l.process.launch.command)
	l.peer = p
	p.Observe(l.inbox, l.done)
}

// attempted raises the event of a frame that only a successor sends.
func (l *life) attempted(f *wire.Frame, e event) {
	if _, ok := next(l.state, e); !ok || l.attempt == nil {
		l.unexpected(f)
		return
	}
	switch e {
	case onReady:
		l.attempt.ready = time.Now()
	case onServing:
		l.attempt.switched = time.Since(l.attempt.parked)
	}
	l.raise(e, "")
}

// greeted answers a successor that this process started; one that joined was greeted at the takeover socket.
func (l *life) greeted(f *wire.Frame, m *wire.Hello) {
	if l.state == draining && m.Role == wire.RoleIncumbent {
		peer.CloseDescriptors(f) // the answer of the generation that connections were redirected to
		if _, features, err := wire.Negotiate(l.process.hello(wire.RoleDraining), *m); err == nil {
			l.peer.Build, l.peer.Features = m.Build, features
			l.follow.begin(l.peer)
		}
		return
	}
	if l.state != offering || m.Role != wire.RoleSuccessor || l.attempt.offered != nil {
		l.unexpected(f)
		return
	}
	peer.CloseDescriptors(f) // its pidfd: a child needs none
	_, features, err := wire.Negotiate(l.process.hello(wire.RoleIncumbent), *m)
	if err != nil {
		l.attempt.refuse(wire.CodeUnsupported, err)
		l.raise(onAbort, err.Error())
		return
	}
	l.peer.Build, l.peer.Protocol, l.peer.Features = m.Build, m.Protocol, features
	l.offerTo(l.peer)
}

// offerTo sends OFFER and the first descriptors.
func (l *life) offerTo(p *peer.Peer) {
	self, err := platform.SelfPidfd()
	if err != nil {
		l.attempt.refuse(wire.CodeFailed, err)
		l.raise(onAbort, err.Error())
		return
	}
	defer func() { _ = self.Close() }()
	l.attempt.offered = l.process.sockets.offers()
	offer := &wire.Offer{
		Protocol: wire.Protocols.Max, Features: p.Features, Service: l.process.config.Name,
		Generation: l.generation, PID: l.process.pid, Build: l.process.build, Listeners: []wire.Listener{},
	}
	for _, ln := range l.attempt.offered {
		offer.Listeners = append(offer.Listeners, ln.spec)
	}
	offer.Counting = l.process.counts.on()
	if len(l.process.acquaintances) > 0 {
		offer.Schemas = map[string]uint32{peersItem: peersSchema}
	}
	fds := []int{self.FD()}
	if slices.Contains(p.Features, wire.FeatureExecutable) && l.keeper == nil { // which has a copy
		own, err := ownExecutable()
		if err == nil {
			defer own.close()
			offer.Executable = true
			fds = append(fds, own.fd)
		}
	}
	if err := l.sent(offer, fds...); err != nil {
		l.notOffered(err)
		return
	}
	l.sendListeners(0)
}

// sendListeners sends the batch of descriptors that begins with listener first.
func (l *life) sendListeners(first int) {
	var unsent error
	err := sendListeners(l.attempt.offered, first, func(m *wire.Listeners, fds ...int) { unsent = l.sent(m, fds...) })
	if err != nil {
		l.attempt.refuse(wire.CodeFailed, err)
		l.raise(onAbort, "a listener was closed")
	} else if unsent != nil {
		l.notOffered(unsent)
	}
}

// notOffered aborts where what is to be offered cannot be sent. A link that broke is reported when it was read to its end.
func (l *life) notOffered(err error) {
	if errors.Is(err, wire.ErrTooManyInFlight) {
		l.attempt.refuse(wire.CodeFailed, err)
		l.raise(onAbort, "descriptors not sent")
	}
}

// sendListeners sends one batch of descriptors of all, if any is left.
func sendListeners(all []*socket, first int, send func(*wire.Listeners, ...int)) error {
	batch := all[first:]
	batch = batch[:min(len(batch), wire.MaxBatch)]
	if len(batch) == 0 {
		return nil
	}
	fds := make([]int, 0, len(batch))
	for _, ln := range batch {
		fd, err := platform.FD(ln.raw)
		if err != nil {
			return fmt.Errorf("offer %s: %w", ln.spec.Key(), err)
		}
		fds = append(fds, fd)
	}
	send(&wire.Listeners{First: first}, fds...)
	return nil
}

func (l *life) acknowledged(f *wire.Frame, m *wire.Ack) {
	switch {
	case l.state != offering || m.Next < 0 || m.Next > len(l.attempt.offered):
		l.unexpected(f)
	case m.Lost:
		l.attempt.refuse(wire.CodeFailed, errors.New("descriptors were lost on their way to the successor: raise its RLIMIT_NOFILE"))
		l.raise(onAbort, "descriptors lost")
	default:
		l.sendListeners(m.Next)
	}
}

func (l *life) adoptedBy(f *wire.Frame, m *wire.Adopted) {
	if l.state != offering || l.attempt.offered == nil {
		l.unexpected(f)
		return
	}
	for _, i := range m.Adopted {
		if i < 0 || i >= len(l.attempt.offered) {
			l.unexpected(f)
			return
		}
		l.attempt.adopted[l.attempt.offered[i].base()] = true
	}
	for _, ln := range l.attempt.offered {
		if !l.attempt.adopted[ln.base()] {
			l.log.Warn("the successor does not listen there: accepted here until the handover is final, then closed",
				"attempt", l.attempt.number, "listener", ln.spec.Key())
		}
	}
	if l.attempt.joined && len(m.Adopted) == 0 && len(l.attempt.offered) > 0 {
		l.attempt.refuse(wire.CodeDenied, fmt.Errorf("%w: the process that joined listens nowhere that %q does", ErrDenied, l.process.config.Name))
		l.raise(onAbort, "no listener in common")
		return
	}
	l.raise(onAdopted, "")
}

// abortedBy is an ABORT: from a successor, or, before the offer, from an incumbent.
func (l *life) abortedBy(f *wire.Frame, m *wire.Abort) {
	if _, ok := next(l.state, onAbort); !ok {
		l.unexpected(f)
		return
	}
	err := fmt.Errorf("%s: %s", m.Code, m.Reason)
	if l.attempt != nil {
		l.attempt.refuse(m.Code, err)
	} else if l.cause == nil {
		l.cause = refusal(m)
	}
	l.raise(onAbort, m.Reason)
}

// refusal is the error that an ABORT amounts to for the process that is refused.
func refusal(m *wire.Abort) error {
	switch m.Code {
	case wire.CodeBusy:
		return fmt.Errorf("%w: %s", ErrInProgress, m.Reason)
	case wire.CodeDenied:
		return fmt.Errorf("%w: %s", ErrDenied, m.Reason)
	default:
		return fmt.Errorf("%w: %s: %s", ErrAborted, m.Code, m.Reason)
	}
}

// precopy sends what can go ahead, while this generation serves on: it holds until FINAL, as nothing of it is changed before. The
// successor need not wait for it, since FREEZE comes behind it.
func (l *life) precopy() {
	if !slices.Contains(l.peer.Features, wire.FeatureCarry) {
		return
	}
	if keys := l.process.tickets.export(); keys != nil {
		l.send(keys)
		l.send(&wire.Carry{EndOfRound: true})
	}
}

// freeze stops this generation's accepting and background work, and passes on what it knows of peers, without holding up the loop.
func (l *life) freeze() {
	a := l.attempt
	l.send(&wire.Freeze{BudgetMillis: l.process.config.FreezeTimeout.Milliseconds()})
	ctx, cancel := context.WithCancel(context.Background())
	a.freezing, a.frozen, a.parked = cancel, make(chan struct{}), time.Now()
	l.process.freezing.begin()
	adopted := func(ln *socket) bool { return a.adopted[ln.base()] }
	passage := l.passage(adopted)
	l.background(ctx, func(ctx context.Context) {
		err := l.process.pause(ctx, adopted)
		if err == nil {
			err = passage.pass(ctx)
		}
		close(a.frozen)
		switch {
		case err == nil:
			l.froze(a, onFrozen, "")
		case ctx.Err() == nil:
			l.froze(a, onFreezeFailed, err.Error())
		}
	})
}

// froze posts what came of the freeze for an attempt. Late, when it was thawed meanwhile, it must not be taken for that of the next.
func (l *life) froze(a *attempt, e event, why string) {
	l.post(func() {
		if l.attempt == a {
			l.raise(e, why)
		}
	})
}

// commit is the point of no return for the attempt's number: the successor will accept.
func (l *life) commit() {
	l.consumed++
	l.attempt.generation, l.peer.Generation = l.consumed, l.consumed
	l.send(&wire.Commit{Generation: l.consumed})
}

// watch keeps an eye on the successor through probation.
func (l *life) watch() {
	l.attempt.watch = newWatch(l)
	l.attempt.watch.voted() // what the keeper has said until now
}

// thaw accepts again and begins background work anew.
func (l *life) thaw() {
	a := l.attempt
	if a.freezing != nil {
		a.freezing()
		<-a.frozen // at once: the freeze is through, or its context has just ended
	}
	l.keepPeers(&a.peers)
	l.process.unpause()
	l.process.freezing.end()
}

// abort tells the successor that nothing will come of it; its death will end the attempt.
func (l *life) abort(e event, why string) {
	a := l.attempt
	if a == nil { // this is the successor
		l.send(&wire.Abort{Code: wire.CodeFailed, Reason: fmt.Sprintf("%s: %s", e, why), Protocol: wire.Protocols, Build: l.process.build})
		return
	}
	switch e {
	case onDeadline:
		a.refuse(wire.CodeDeadline, fmt.Errorf("the successor was not ready in time: %s", why))
	case onStop:
		l.kept[onStop] = true // still wished for when the successor has ended
		a.refuse(wire.CodeCancelled, errors.New("the service was told to end"))
	default:
		a.refuse(wire.CodeFailed, fmt.Errorf("%s: %s", e, why))
	}
	if l.peer != nil {
		_ = l.peer.Link.Send(a.number, &wire.Abort{Code: a.code, Reason: a.reason.Error(), Protocol: wire.Protocols, Build: l.process.build})
	}
}

// kill ends the peer by force. It is dead when its process says so, not before.
func (l *life) kill(e event, why string) {
	if l.attempt != nil {
		l.attempt.refuse(wire.CodeFailed, fmt.Errorf("%s: %s", e, why))
	}
	l.log.Warn("the successor is killed", "attempt", l.number(), "pid", l.peer.Process.PID(), "state", l.state.String(), "reason", why)
	if err := l.peer.Process.Kill(); err != nil {
		l.log.Error("kill the successor", "pid", l.peer.Process.PID(), "error", err)
	}
}

// resume takes the successor back.
func (l *life) resume(e event, why string) {
	l.attempt.refuse(wire.CodeFailed, fmt.Errorf("%s: %s", e, why))
	l.stopWatching()
	l.send(&wire.Resume{Reason: l.attempt.reason.Error()})
}

func (l *life) stopWatching() {
	if l.attempt.watch != nil {
		l.attempt.watch.stop()
	}
}
