package keeper

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/handover-go/handover/internal/notify"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// attempt is a handover under way, as the keeper sees it; or the start of a generation while none lives, and then it has an
// offer.
type attempt struct {
	request   uint32 // the keeper's number of it; 0 until the incumbent knows of it
	begun     time.Time
	incumbent *generation // of a handover; nil once it has died
	successor *generation // nil until it is started, and once it has died
	offer     *offer
	trial     *trial // of a program that does not embed handover; nil for others
	reason    string // how the successor ended
	stopProbe context.CancelFunc
	answer    func(*wire.Reply) // to who asked; nil once it was given, or where nobody asked
	watch     func(*wire.State) // where a generation stands; nil if nobody does
}

// answerTimeout bounds an answer that costs a generation no work.
const answerTimeout = 10 * time.Second

// upgrade hands the service over to the next build. The end of it is told to answer, in the loop, and the states on the way to
// watch, if that is not nil.
func (k *Keeper) upgrade(wish wire.Upgrade, answer func(*wire.Reply), watch func(*wire.State)) {
	refuse := func(code wire.Code, err error) {
		answer(&wire.Reply{Attempt: k.attempts, Error: err.Error(), Code: code})
	}
	switch {
	case k.attempt != nil:
		refuse(wire.CodeBusy, fmt.Errorf("a handover is under way, or the service is starting, for %s", time.Since(k.attempt.begun).Round(time.Millisecond)))
		return
	case wish.Keeper:
		refuse(wire.CodeDenied, errors.New("ask at the takeover socket for another build of the keeper"))
		return
	case k.state != serving || k.incumbent == nil:
		refuse(wire.CodeDenied, fmt.Errorf("%w: it is %s", errNoService, k.state))
		return
	case wish.Rollback && k.shelf.previous.Digest == "":
		refuse(wire.CodeVerification, fmt.Errorf("%w: give a file to upgrade to", errNoBuildBefore))
		return
	}
	k.step(onUpgrade, "")
	k.systemd.Say(notify.Notice{Text: fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d\nSTATUS=handing over", platform.MonotonicUsec()), Feed: true})
	a := &attempt{begun: time.Now(), incumbent: k.incumbent, answer: answer, watch: watch}
	k.attempt = a
	switch {
	case wish.Rollback:
		k.succeed(a, k.shelf.previous)
	case wish.Binary != "":
		k.fetch(a, wish.Binary, k.succeed)
	default:
		k.fetch(a, k.config.Command, k.succeed)
	}
}

// succeed starts the successor and gives its link to the incumbent, which does the rest.
func (k *Keeper) succeed(a *attempt, s stock) {
	if len(k.config.Listen) > 0 {
		k.succeedPlain(a, s)
		return
	}
	g, link, err := k.launch(s)
	if err != nil {
		k.failed(a, wire.CodeFailed, err)
		return
	}
	defer func() { _ = link.Close() }()
	a.successor = g
	k.add(g)
	k.requests++
	a.request = k.requests
	k.log.Info("the successor is started", "service", k.config.Name, "pid", g.PID(), "build", s.String())
	if err := k.introduce(a, link); err != nil {
		_ = g.process.Kill()
		a.successor = nil
		k.failed(a, wire.CodeFailed, fmt.Errorf("introduce the successor to the incumbent: %w", err))
		return
	}
	if k.config.Health.Path != "" {
		a.incumbent.send(a.request, &wire.Vote{Verdict: wire.VoteHold, Reason: "its health is not known yet"})
	}
}

// introduce gives the incumbent the successor's link.
func (k *Keeper) introduce(a *attempt, link *platform.Socket) error {
	end, err := platform.FD(link)
	if err != nil {
		return err
	}
	proof, release, err := a.successor.process.Pidfd()
	if err != nil {
		return err
	}
	defer release()
	return sent(a.incumbent.Link, a.request, &wire.Successor{PID: a.successor.PID()}, end, proof)
}

// told takes the incumbent's word for how the handover ended. How a successor died the keeper alone knows, as its parent.
func (a *attempt) told(k *Keeper, r *wire.Reply) {
	if r.Outcome != "final" {
		if g := a.successor; g != nil && g.child.proof.Dead() {
			ctx, cancel := context.WithTimeout(context.Background(), reapTimeout)
			a.reason, _ = g.process.Wait(ctx)
			cancel()
		}
		if a.reason != "" {
			r.Error += " (" + a.reason + ")"
		}
	}
	k.over(a, r)
}

// reapTimeout bounds the wait in the loop for the exit status of a process that is dead: SIGCHLD has been sent.
const reapTimeout = time.Second

// lost notes the death of a generation that takes part.
func (a *attempt) lost(k *Keeper, g *generation, how string) {
	if a.trial != nil {
		a.trial.lost(k, a, g, how)
		return
	}
	switch g {
	case a.successor:
		a.successor, a.reason = nil, how
		a.stopProbing()
		if a.offer != nil && a.offer.reason != "" {
			k.last = a.offer.reason
			k.log.Error("the service has not become ready", "service", k.config.Name, "reason", a.offer.reason)
		}
		if a.offer == nil && a.incumbent != nil {
			k.timer.Reset(answerTimeout) // the incumbent will say how that was
		}
	case a.incumbent:
		a.incumbent = nil
		switch a.successor {
		case nil:
		case k.incumbent:
			k.over(a, a.final(k))
		default: // it serves when it is ready, and nobody else sees to that any more
			k.timer.Reset(k.config.ReadyTimeout)
		}
	}
}

// lives reports whether a successor is there that will serve, or end.
func (a *attempt) lives() bool { return a.successor != nil }

// final is the end that an incumbent cannot tell any more.
func (a *attempt) final(k *Keeper) *wire.Reply {
	g := a.successor
	return &wire.Reply{
		Attempt: k.attempts, Outcome: "final", Generation: g.number, PID: g.PID(), Build: g.Build.String(),
		TotalUs: time.Since(a.begun).Microseconds(),
	}
}

// expired acts on a deadline.
func (a *attempt) expired(k *Keeper) {
	switch {
	case a.trial != nil:
		a.trial.expired(k, a)
	case a.offer != nil:
		a.offer.late(k.config.ReadyTimeout)
	case a.successor != nil && a.incumbent == nil && a.successor != k.incumbent:
		k.log.Error("the successor is killed: the incumbent has died, and it does not serve", "pid", a.successor.PID(), "timeout", k.config.ReadyTimeout)
		_ = a.successor.process.Kill()
	case a.successor == nil && a.incumbent != nil:
		k.over(a, &wire.Reply{
			Attempt: k.attempts, Outcome: "aborted", Code: wire.CodeDeadline,
			Error: fmt.Sprintf("the successor has ended (%s), and the incumbent does not say how the handover was", a.reason),
		})
	}
}

// over ends a handover.
func (k *Keeper) over(a *attempt, r *wire.Reply) {
	k.attempt = nil
	if r.Outcome == "final" && a.successor != nil && k.incumbent != a.successor {
		k.up(a.successor) // it has not said so itself yet
	}
	a.close()
	k.timer.Stop() // a deadline of this handover is none of the next
	k.step(onOver, r.Outcome)
	k.last = r.Outcome
	if r.Error != "" {
		k.last = r.Error
	}
	k.log.Log(context.Background(), level(r.Outcome == "final"), "the handover has ended", "service", k.config.Name,
		"attempt", r.Attempt, "outcome", r.Outcome, "generation", r.Generation, "pid", r.PID, "error", r.Error)
	k.ready()
	a.answered(r)
}

// stopProbing ends the health check that goes on for the attempt.
func (a *attempt) stopProbing() {
	if a.stopProbe != nil {
		a.stopProbe()
		a.stopProbe = nil
	}
}

// close ends what goes on for the attempt.
func (a *attempt) close() {
	a.stopProbing()
	if a.offer != nil {
		a.offer.Close()
	}
}

// answered answers who asked.
func (a *attempt) answered(r *wire.Reply) {
	if answer := a.answer; answer != nil {
		a.answer = nil
		answer(r)
	}
}

// tell tells whoever watches where a generation stands.
func (a *attempt) tell(s *wire.State) {
	if a.watch != nil {
		a.watch(s)
	}
}
