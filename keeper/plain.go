package keeper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/handover-go/handover/internal/wire"
)

// trial is what a program that knows nothing of handover must show, from its start until it is the incumbent. Both it and its
// incumbent take from the queues of the same sockets meanwhile, as neither knows how to stop for a while.
type trial struct {
	notifies bool // the generation before said READY=1, so that this one is expected to
	ready    time.Time
	until    time.Time // the end of probation
	held     time.Time // the vote is to wait, until then at the latest
	promoted bool      // the vote is not to wait for the end of probation
	reason   string    // why the process is being ended, while no other lives
	evidence string    // what the last check said that it answered, or else the last one
	answered bool      // evidence is its own answer
}

// recallTimeout is how long a generation that was taken back has to end after SIGTERM.
const recallTimeout = 10 * time.Second

// beginPlain starts the program while none lives.
func (k *Keeper) beginPlain(a *attempt, s stock) {
	a.trial = &trial{}
	if len(k.generations) == 0 {
		for _, h := range k.spare {
			if err := makeBlocking(h.fd); err != nil && !h.spec.Packet {
				k.log.Warn("a socket is given in the mode it has", "listener", h.spec.Key(), "error", err)
			}
		}
	}
	held := slices.Clone(k.spare)
	k.launchPlain(a, s, func() (*child, *ear, error) { return k.startPlain(s, held) })
}

// succeedPlain starts the next one beside the one that serves.
func (k *Keeper) succeedPlain(a *attempt, s stock) {
	k.attempts++
	a.trial = &trial{notifies: k.incumbent.standing.State == serves}
	k.timer.Reset(k.config.ReadyTimeout)
	a.vote(k) // what was said until now
	held := slices.Clone(k.incumbent.held)
	k.launchPlain(a, s, func() (*child, *ear, error) { return k.startPlain(s, held) })
}

// begin waits until the process is ready.
func (t *trial) begin(k *Keeper, a *attempt, g *generation) {
	a.successor = g
	if a.incumbent != nil {
		g.expend(k)
	}
	g.number = k.highest + 1 // which another takes, should this one not become ready
	k.log.Info("the program is started", "service", k.config.Name, "generation", g.number, "pid", g.PID(), "build", g.build.String(), "attempt", k.attempts)
	if old := a.incumbent; old != nil {
		a.tell(&wire.State{State: "awaiting", Generation: old.number, PID: old.PID(), Attempt: k.attempts})
	}
	switch {
	case k.config.Health.Path != "":
		t.examine(k, a)
	case !t.notifies:
		t.settle(k, a)
	}
}

// during runs f until it is over, the trial moves on or the attempt ends, and then what it returned in the loop.
func (t *trial) during(k *Keeper, a *attempt, f func(ctx context.Context) func()) {
	a.stopProbing()
	ctx, cancel := context.WithCancel(context.Background())
	a.stopProbe = cancel
	k.background(ctx, func(ctx context.Context) {
		if then := f(ctx); then != nil {
			k.post(func() {
				if ctx.Err() == nil {
					then()
				}
			})
		}
	})
}

// settle takes for ready what has lived for a while.
func (t *trial) settle(k *Keeper, a *attempt) {
	t.during(k, a, func(ctx context.Context) func() {
		select {
		case <-time.After(k.config.Settle):
			return func() { t.becomes(k, a, "it has lived for "+k.config.Settle.String()) }
		case <-ctx.Done():
			return nil
		}
	})
}

// examine asks it for its health: until that is good, and, once it is ready, until it no longer is.
func (t *trial) examine(k *Keeper, a *attempt) {
	q := inquiry{health: k.config.Health, root: a.successor.PID()}
	held := k.spare
	if a.incumbent != nil {
		held = a.incumbent.held
	}
	var err error
	if q.spec, err = checked(held); err != nil {
		t.giveUp(k, a, wire.CodeFailed, err.Error())
		return
	}
	for _, g := range k.generations {
		if g != a.successor {
			q.others = append(q.others, g.PID())
		}
	}
	ready := !t.ready.IsZero()
	t.during(k, a, func(ctx context.Context) func() {
		if ready {
			err := q.untilUnhealthy(ctx)
			return func() {
				t.recall(k, a, fmt.Sprintf("%d checks failed in a row, the last: %v", k.config.Health.Failures, err))
			}
		}
		healthy := q.untilHealthy(ctx, func(answered bool, err error) {
			k.post(func() { t.noteCheck(answered, err) })
		})
		if !healthy {
			return nil
		}
		return func() { t.becomes(k, a, "it is healthy") }
	})
}

func (t *trial) noteCheck(answered bool, err error) {
	switch {
	case answered:
		t.evidence, t.answered = fmt.Sprintf("the last check that it answered: %v", err), true
	case t.answered: // what it says itself is better evidence than others' answers are
	case err != nil:
		t.evidence = fmt.Sprintf("no check was answered by it; the last: %v", err)
	default:
		t.evidence = "all checks were answered by the generation before"
	}
}

// noticed handles what a generation says at its notification socket.
func (k *Keeper) noticed(g *generation, n notice) {
	k.log.Debug("notification", "generation", g.number, "pid", g.PID(), "ready", n.ready, "stopping", n.stopping, "status", n.status)
	a := k.attempt
	tried := a != nil && a.trial != nil && a.successor == g
	if n.status != "" && tried {
		state := "preparing"
		if !a.trial.ready.IsZero() {
			state = onTrial
		}
		a.tell(&wire.State{State: state, Generation: g.number, PID: g.PID(), Attempt: k.attempts, Reason: n.status})
	}
	if n.ready {
		g.standing.State = serves
		if tried {
			a.trial.becomes(k, a, "it says READY=1")
		}
	}
}

// becomes notes that it is ready: the first is the incumbent now, the next one from the end of its probation.
func (t *trial) becomes(k *Keeper, a *attempt, why string) {
	if !t.ready.IsZero() || t.reason != "" {
		return
	}
	g := a.successor
	t.ready = time.Now()
	k.highest = g.number
	k.log.Info("ready", "service", k.config.Name, "generation", g.number, "pid", g.PID(), "reason", why, "after", t.ready.Sub(a.begun))
	a.stopProbing()
	if a.incumbent == nil {
		t.succeed(k, a)
		return
	}
	k.quieten(a.incumbent)
	a.tell(&wire.State{State: onProbation, Generation: a.incumbent.number, PID: a.incumbent.PID(), Attempt: k.attempts})
	t.until = t.ready.Add(k.config.Probation)
	if t.promoted {
		t.until = t.ready
	}
	k.timer.Reset(time.Until(t.until))
	if k.config.Health.Path != "" {
		t.examine(k, a)
	}
}

// succeed makes it the incumbent, and has the one before end.
func (t *trial) succeed(k *Keeper, a *attempt) {
	g, old := a.successor, a.incumbent
	if old != nil {
		g.held, old.held = old.held, nil
	} else {
		g.held, k.spare = k.spare, nil
	}
	if old == nil {
		k.timer.Stop() // the deadline of a start is none of the next upgrade
		k.up(g)        // which ends a handover whose incumbent has died
		if k.attempt == a {
			k.attempt = nil
			a.close()
		}
		return
	}
	a.tell(&wire.State{State: "draining", Generation: old.number, PID: old.PID(), Attempt: k.attempts})
	r := a.final(k)
	r.ReadyUs = t.ready.Sub(a.begun).Microseconds()
	k.over(a, r)
	k.dismiss(old, k.config.DrainTimeout)
}

// recall ends it again: the incumbent has never stopped to serve.
func (t *trial) recall(k *Keeper, a *attempt, why string) {
	g := a.successor
	a.successor = nil
	old := a.incumbent
	k.over(a, t.resumed(k, a, why, wire.CodeFailed))
	k.wake(old, func() {
		if !g.process.Ended() {
			k.dismiss(g, min(recallTimeout, k.config.DrainTimeout))
		}
	})
}

func (t *trial) resumed(k *Keeper, a *attempt, why string, code wire.Code) *wire.Reply {
	outcome := "resumed"
	if t.ready.IsZero() {
		outcome = "aborted"
	}
	return &wire.Reply{
		Attempt: k.attempts, Outcome: outcome, Generation: a.incumbent.number, PID: a.incumbent.PID(),
		TotalUs: time.Since(a.begun).Microseconds(), Error: why, Code: code,
	}
}

// lost notes the death of a generation that takes part.
func (t *trial) lost(k *Keeper, a *attempt, g *generation, how string) {
	switch g {
	case a.successor:
		a.successor = nil
		a.stopProbing()
		if t.reason != "" {
			k.last = t.reason
		}
		if a.incumbent != nil {
			k.over(a, t.resumed(k, a, how, wire.CodeFailed))
		}
	case a.incumbent:
		a.incumbent = nil
		if a.successor != nil && !t.ready.IsZero() {
			t.succeed(k, a)
		}
	}
}

// expired acts on the deadline of the trial, or its end.
func (t *trial) expired(k *Keeper, a *attempt) {
	switch {
	case !t.ready.IsZero() && time.Now().Before(t.held):
		k.timer.Reset(time.Until(t.held))
	case !t.ready.IsZero():
		t.succeed(k, a)
	case a.successor == nil:
		k.failed(a, wire.CodeDeadline, fmt.Errorf("it was not started within %s", k.config.ReadyTimeout))
	default:
		why := fmt.Sprintf("not ready within %s", k.config.ReadyTimeout)
		switch {
		case t.evidence != "":
			why += ": " + t.evidence
		case t.notifies:
			why += ": it did not say READY=1, as the build before it does"
		}
		t.giveUp(k, a, wire.CodeDeadline, why)
	}
}

// giveUp ends what has not become ready. It is told to end, and not killed at once, as it may have accepted connections.
func (t *trial) giveUp(k *Keeper, a *attempt, code wire.Code, why string) {
	g := a.successor
	k.log.Warn("a generation is not ready", "generation", g.number, "pid", g.PID(), "reason", why)
	a.stopProbing()
	if t.reason = why; a.incumbent != nil {
		a.successor = nil
		k.over(a, t.resumed(k, a, why, code))
	}
	k.dismiss(g, min(recallTimeout, k.config.DrainTimeout))
}

// dismiss has a generation end, and kills it if it takes longer than it may.
func (k *Keeper) dismiss(g *generation, limit time.Duration) {
	k.log.Info("told to end", "generation", g.number, "pid", g.PID(), "timeout", limit)
	if err := g.process.Signal(k.config.StopSignal); err != nil {
		k.log.Warn("a generation cannot be told to end", "pid", g.PID(), "error", err)
	}
	var listeners []wire.Listener
	serving := 0
	if k.incumbent != nil {
		listeners, serving = specs(k.incumbent.held), k.incumbent.PID()
	}
	k.background(context.Background(), func(context.Context) {
		if g.ends(limit) {
			return
		}
		held := connections(g.PID(), serving, listeners)
		if k.config.StopSignal != syscall.SIGTERM { // to which a program that is told by another ends at once
			_ = g.process.Signal(syscall.SIGTERM)
			if g.ends(termTimeout) {
				k.log.Warn("ended by SIGTERM: it has not ended in time", "generation", g.number, "pid", g.PID(), "timeout", limit, "connections", held)
				return
			}
		}
		k.log.Warn("killed: it has not ended in time", "generation", g.number, "pid", g.PID(), "timeout", limit, "connections", held)
		_ = g.process.Kill()
	})
}

// termTimeout is how long a program has to end by SIGTERM that has not ended by its Config.StopSignal.
const termTimeout = 2 * time.Second

// ends waits until a generation has ended, and reports false if it takes longer than that.
func (g *generation) ends(limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	_, err := g.process.Wait(ctx)
	return !errors.Is(err, context.DeadlineExceeded)
}
