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

// final hands the service over for good: what cannot be undone happens here and afterwards, and nowhere before.
func (l *life) final(why string) {
	a := l.attempt
	l.stopWatching()
	l.hand()
	l.abandon(a)
	l.depart(l.peer)
	l.process.notifier.handedOver(l.peer.Process.PID())
	// Said last: whoever is told that a handover is final may count on all that begins with it.
	l.log.Info("handover final", "attempt", a.number, "generation", a.generation, "pid", l.peer.Process.PID(),
		"ready", a.ready.Sub(a.started), "switch", a.switched, "total", time.Since(a.started), "reason", why)
	l.conclude(Result{Outcome: Final, Generation: a.generation, PID: l.peer.Process.PID()}, nil)
}

// hand sends FINAL, and with it a link to each generation that drains, whose other end goes there: from now on the
// connections of all of them go to the new one.
func (l *life) hand() {
	m := &wire.Final{}
	var fds []int
	if fd, ok := l.process.door.hand(); ok {
		m.Takeover = true
		fds = append(fds, fd)
	}
	var redirects []redirect
	for _, d := range l.drainers {
		if d.Gone || !slices.Contains(d.Features, wire.FeatureRedirect) || !slices.Contains(l.peer.Features, wire.FeatureRedirect) {
			continue
		}
		r, err := newRedirect(d, l.peer)
		if err != nil {
			l.log.Warn("a draining generation keeps its connections", "generation", d.Generation, "error", err)
			continue
		}
		defer r.release()
		redirects = append(redirects, r)
		m.Draining = append(m.Draining, wire.Drainer{Generation: d.Generation, PID: d.Process.PID()})
		fds = append(fds, r.toSuccessor[:]...)
	}
	if err := l.sent(m, fds...); errors.Is(err, wire.ErrTooManyInFlight) {
		// The successor needs to know all the same: it makes a takeover socket of its own, and who drains stays with this process.
		l.log.Warn("the handover is final without the takeover socket and the generations that drain", "draining", len(redirects), "error", err)
		l.process.door.leave()
		l.send(&wire.Final{})
		return
	}
	for _, r := range redirects {
		to := &wire.Redirect{Generation: l.attempt.generation, Listeners: l.attempt.livesOn()}
		switch err := r.drainer.Link.Send(l.number(), to, r.toDrainer[:]...); {
		case errors.Is(err, wire.ErrTooManyInFlight):
			l.log.Warn("draining generation not redirected: its connections stay there", "generation", r.drainer.Generation, "error", err)
		case err != nil:
			l.log.Debug("draining generation not redirected: it has ended", "generation", r.drainer.Generation, "error", err)
		}
	}
}

// redirect is a link between a draining generation and a successor. Each gets its end, and the other's pidfd.
type redirect struct {
	drainer     *peer.Peer
	toSuccessor [2]int
	toDrainer   [2]int
	release     func()
}

func newRedirect(drainer, successor *peer.Peer) (redirect, error) {
	theirs, releaseTheirs, err := drainer.Process.Pidfd()
	if err != nil {
		return redirect{}, err
	}
	its, releaseIts, err := successor.Process.Pidfd()
	if err != nil {
		releaseTheirs()
		return redirect{}, err
	}
	a, b, err := platform.SocketPair()
	if err != nil {
		releaseTheirs()
		releaseIts()
		return redirect{}, err
	}
	r := redirect{drainer: drainer, release: func() {
		releaseTheirs()
		releaseIts()
		_ = a.Close()
		_ = b.Close()
	}}
	end, err := platform.FD(a)
	if err == nil {
		r.toSuccessor = [2]int{end, theirs}
		end, err = platform.FD(b)
		r.toDrainer = [2]int{end, its}
	}
	if err != nil {
		r.release()
	}
	return r, err
}

// depart lets this generation's connections follow to the one that serves now.
func (l *life) depart(to *peer.Peer) {
	l.process.sockets.handedOver.Store(true)
	l.follow.begin(to)
	l.process.leave()
	l.emptying++
	l.background(l.process.context, func(ctx context.Context) {
		l.process.sockets.answered(ctx)
		l.post(func() { l.emptying-- })
	})
}

// abandon closes the listeners that the successor did not adopt, once no connection is left in their queues. Nobody holds
// them afterwards, as the service does not listen there any more.
func (l *life) abandon(a *attempt) {
	for _, ln := range l.process.sockets.all() {
		if a.adopted[ln.base()] {
			continue
		}
		l.log.Info("listener closed: the service does not listen there any more", "listener", ln.spec.Key())
		for other := range a.adopted {
			ln.outlived = ln.outlived || other.outlives(ln)
		}
		l.empty(ln)
	}
}

// empty closes a listener for good, with nothing lost, without holding up the loop.
func (l *life) empty(ln *socket) {
	l.emptying++
	ln.emptying = true
	l.background(l.process.context, func(ctx context.Context) {
		if err := ln.empty(ctx); err != nil {
			l.log.Warn("close listener", "listener", ln.spec.Key(), "error", err)
		}
		if !ln.attached {
			ln.release()
		}
		l.post(func() { l.emptying-- })
	})
}

// giveBack stops what this generation does, for the incumbent to take it back. Where that takes too long, silence makes the
// incumbent kill this process before it accepts.
func (l *life) giveBack(why string) {
	l.log.Warn("taken back by the incumbent", "attempt", l.number(), "generation", l.generation, "reason", why)
	l.kept = [events]bool{} // granted
	l.offer.resumed = why
	ctx, cancel := context.WithCancel(l.process.context)
	paused := make(chan struct{})
	l.offer.unpause = func() { cancel(); <-paused }
	l.process.freezing.begin()
	passage := l.passage(func(*socket) bool { return l.offer.readsBack })
	l.background(ctx, func(ctx context.Context) {
		err := l.process.pause(ctx, func(*socket) bool { return true })
		if err == nil {
			passage.bringBack(ctx)
		}
		close(paused)
		if err != nil {
			l.log.Error("cannot give back", "error", err)
			return
		}
		l.happen(onPaused, "")
	})
}

// release lets the connections of a generation that was taken back follow to the incumbent, which serves again.
func (l *life) release() {
	l.cause = fmt.Errorf("%w: %s", ErrResumed, l.offer.resumed)
	l.depart(l.peer)
}

// reopen undoes giveBack: the incumbent died before it served again.
func (l *life) reopen() {
	l.offer.unpause()
	l.process.freezing.end()
	l.open()
}

// end ends the service: nobody serves after this generation.
func (l *life) end(why string) {
	l.log.Info("ending", "generation", l.generation, "connections", l.process.sockets.count(), "reason", why)
	if l.cause == nil {
		l.cause = l.process.failure()
	}
	l.process.notifier.stopping()
	l.process.door.close()
	l.process.freezing.begin()
	l.process.work.cancel()
	for _, ln := range l.process.sockets.all() {
		ln.kept = l.replaced()
		l.empty(ln)
	}
}

// replaced reports, of a generation that ends, whether the service goes on: it is a failure of this generation, and no wish that the service end, and its
// keeper starts the next.
func (l *life) replaced() bool { return l.keeper != nil && l.cause != nil }

// emptied goes on with the end of the service when no listener has a queue any more: from now on connections end when
// they are idle.
func (l *life) emptied() {
	if l.replaced() { // else whoever waits in the queues would wait for connections to finish
		s := l.standing(l.cause.Error())
		s.Released = true
		l.keeper.send(0, s)
	}
	l.follow.retire()
	l.process.leave()
}

// cut ends the wait for connections that did not finish.
func (l *life) cut(why string) {
	counted := l.process.sockets.cut(l.follow.cut())
	attributes := append([]any{"generation", l.generation, "connections", counted.total()}, counted.attributes()...)
	l.log.Warn("drain deadline: connections closed", append(attributes, "reason", why)...)
}
