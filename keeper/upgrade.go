package keeper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	await     func() // goes on once the incumbent knows that it is; nil if it does
	launching bool   // of a start: its process is about to be there
	stopProbe context.CancelFunc
	health    wire.Vote // the keeper's own
	asked     wire.Vote // of the caller that votes
	callers   callers
}

// answerTimeout bounds an answer that costs a generation no work.
const answerTimeout = 10 * time.Second

// upgrade hands the service over to the next build. The end of it, and the states on the way, are told to who asks, in the loop.
func (k *Keeper) upgrade(wish wire.Upgrade, who caller) {
	refuse := func(code wire.Code, err error) {
		who.answer(&wire.Reply{Attempt: k.attempts, Error: err.Error(), Code: code})
	}
	switch {
	case k.instead != nil:
		refuse(wire.CodeBusy, errReplaced)
		return
	case !wish.Keeper && (k.state == down || k.state == starting && k.restarts > 0):
		if err := k.reject(wish); err != nil {
			refuse(wire.CodeVerification, err)
			return
		}
		k.replaceFallen(wish, who)
		return
	case k.attempt != nil:
		refuse(wire.CodeBusy, fmt.Errorf("a handover is under way, or the service is starting, for %s", time.Since(k.attempt.begun).Round(time.Millisecond)))
		return
	case k.nginx != nil && (k.nginx.launching || len(k.generations) > 1):
		refuse(wire.CodeBusy, errors.New("the master before has not ended yet, and nginx begins nothing new before that: try again"))
		return
	case wish.Keeper:
		refuse(wire.CodeDenied, errors.New("ask at the takeover socket for another build of the keeper"))
		return
	case k.state != serving || k.incumbent == nil:
		refuse(wire.CodeDenied, fmt.Errorf("%w: it is %s", errNoService, k.state))
		return
	case k.serves(wish):
		g := k.incumbent
		who.answer(&wire.Reply{Attempt: k.attempts, Outcome: "final", Generation: g.number, PID: g.PID(), Build: g.Build.String()})
		return
	}
	if err := k.reject(wish); err != nil {
		refuse(wire.CodeVerification, err)
		return
	}
	k.step(onUpgrade, "")
	k.systemd.Say(notify.Notice{Text: fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d\nSTATUS=handing over", platform.MonotonicUsec()), Feed: true})
	a := &attempt{begun: time.Now(), incumbent: k.incumbent, callers: callersOf(who)}
	k.attempt = a
	if k.incumbent.Link == nil || k.incumbent.standing.State != onTrial {
		k.take(a, wish)
		return
	}
	// What made the one before final and what is to come go on different links: a successor that has not heard yet that it is the incumbent
	// would refuse.
	a.await = func() { k.take(a, wish) }
	k.timer.Reset(answerTimeout)
}

// take takes the build that was wished for, and starts it.
func (k *Keeper) take(a *attempt, wish wire.Upgrade) {
	if wish.Rollback {
		k.succeed(a, k.before(wish))
		return
	}
	k.fetch(a, k.wanted(wish), k.succeed)
}

// wanted is the build that was wished for, which was not rejected.
func (k *Keeper) wanted(wish wire.Upgrade) wanted {
	w := wanted{path: cmp.Or(wish.Binary, k.config.Command), dir: wish.Dir, digest: wish.Digest, label: wish.Label, kept: wish.Start != nil && wish.Start.Kept}
	w.manner, _ = mannerOf(wish.Start)
	return w
}

// before is the build that a rollback starts, in the manner in which it ran.
func (k *Keeper) before(wish wire.Upgrade) stock {
	s := k.shelf.previous
	s.label = wish.Label
	return s
}

// serves reports whether the build that someone asks for by its digest serves already, where it is asked for.
func (k *Keeper) serves(wish wire.Upgrade) bool {
	b := k.incumbent.build
	if m, err := mannerOf(wish.Start); err != nil || m != nil && !wish.Start.Kept && len(k.differs(b, m)) > 0 {
		return false
	}
	return wish.Digest != "" && !wish.Rollback && b.Digest == wish.Digest && k.directory(b.dir) == k.directory(wish.Dir)
}

// reject says what speaks against a build before anything of it is read.
func (k *Keeper) reject(wish wire.Upgrade) error {
	dir := wish.Dir
	m, err := mannerOf(wish.Start)
	if err != nil {
		return fmt.Errorf("how the build is to be started: %w", err)
	}
	if m != nil && k.nginx != nil && len(k.differs(k.shelf.running, m)) > 0 {
		return errors.New("nginx starts its next master as it was started itself: for other arguments, variables or limits the service must be stopped and started")
	}
	switch previous := k.shelf.previous; {
	case !wish.Rollback:
	case previous.Digest == "":
		return fmt.Errorf("%w: give a file to upgrade to", errNoBuildBefore)
	case wish.Dir != "" && wish.Dir != previous.dir || wish.Digest != "" && wish.Digest != previous.Digest:
		return fmt.Errorf("the build before is %s in %q, and not what was asked for", previous, k.directory(previous.dir))
	default:
		dir = previous.dir
	}
	if dir == "" {
		return nil
	}
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("the directory %q of the build: give an absolute path", dir)
	}
	if info, err := os.Stat(dir); err != nil {
		return fmt.Errorf("find the directory of the build: %w", err)
	} else if !info.IsDir() {
		return fmt.Errorf("the directory %q of the build is a file", dir)
	}
	return nil
}

// succeed starts the successor and gives its link to the incumbent, which does the rest.
func (k *Keeper) succeed(a *attempt, s stock) {
	switch {
	case k.nginx != nil:
		k.succeedNginx(a, s)
		return
	case len(k.config.Listen) > 0:
		k.succeedPlain(a, s)
		return
	}
	k.launch(a, s, func(g *generation, link *platform.Socket) bool {
		k.requests++
		a.request = k.requests
		k.log.Info("the successor is started", "service", k.config.Name, "pid", g.PID(), "build", s.String())
		if err := k.introduce(a, link); err != nil {
			_ = g.process.Kill()
			a.successor = nil
			k.failed(a, wire.CodeFailed, fmt.Errorf("introduce the successor to the incumbent: %w", err))
			return false
		}
		if k.config.Health.Path != "" {
			a.health = wire.Vote{Verdict: wire.VoteHold, Reason: "its health is not known yet"}
		}
		a.vote(k)
		return false // the incumbent has it
	})
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

// lives reports whether a successor is there that will serve, or end, or is about to be.
func (a *attempt) lives() bool { return a.successor != nil || a.launching }

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
	case a.await != nil: // it will say why not
		a.goOn(k)
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

// goOn goes on with what has waited for the incumbent.
func (a *attempt) goOn(k *Keeper) {
	goOn := a.await
	a.await = nil
	k.timer.Stop()
	goOn()
}

// over ends a handover.
func (k *Keeper) over(a *attempt, r *wire.Reply) {
	k.attempt = nil
	if r.Outcome == "final" && a.successor != nil && k.incumbent != a.successor {
		k.up(a.successor) // it has not said so itself yet
	}
	k.pointBack()
	a.close()
	k.timer.Stop() // a deadline of this handover is none of the next
	k.step(onOver, r.Outcome)
	k.last, k.ended = r.Outcome, r
	if r.Error != "" {
		k.last = r.Error
	}
	k.log.Log(context.Background(), level(r.Outcome == "final"), "the handover has ended", "service", k.config.Name,
		"attempt", r.Attempt, "outcome", r.Outcome, "generation", r.Generation, "pid", r.PID, "error", r.Error)
	k.ready()
	a.answered(r)
	if g := k.incumbent; g != nil && g.standing.Released { // it has failed since its incumbent left, and said so when that was not known yet
		k.released(g, g.standing.Reason)
	}
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

// answered answers who asked, and who follows.
func (a *attempt) answered(r *wire.Reply) { a.callers.answer(r) }

// tell tells whoever watches where a generation stands.
func (a *attempt) tell(s *wire.State) { a.callers.tell(s) }
