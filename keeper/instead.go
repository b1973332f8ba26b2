package keeper

import (
	"errors"
	"fmt"

	"github.com/handover-go/handover/internal/wire"
)

// instead is a build that is to be started in the place of one that cannot serve: it dies whenever it is started, or is not ready
// yet. There is no incumbent to hand over, and nothing to lose.
type instead struct {
	who   caller
	build stock
	due   bool // the build is here, and is what is started next
}

// replaceFallen has another build started than the one that has died, or does not become ready.
func (k *Keeper) replaceFallen(wish wire.Upgrade, who caller) {
	i := &instead{who: who}
	k.instead = i
	k.log.Warn("another build is to be started, as none serves", "service", k.config.Name, "state", k.state.String(), "rollback", wish.Rollback, "build", wish.Binary)
	if wish.Rollback {
		k.startInstead(i, k.before(wish), nil)
		return
	}
	w := k.wanted(wish)
	running := k.shelf.running
	k.wait.Add(1)
	go func() {
		defer k.wait.Done()
		s, err := k.shelf.fetch(w, running, 0)
		k.post(func() {
			if err == nil {
				s = k.arrange(s, w)
			}
			k.startInstead(i, s, err)
		})
	}()
}

// startInstead starts it, at once: a process that is not ready yet is ended first. If one serves by now, it is a handover like any
// other.
func (k *Keeper) startInstead(i *instead, s stock, err error) {
	switch {
	case k.instead != i:
		_ = s.Release()
		return
	case err != nil:
		k.answerInstead(&wire.Reply{Outcome: "aborted", Error: err.Error(), Code: wire.CodeVerification})
		return
	case k.state != down && k.state != starting:
		_ = s.Release()
		k.answerInstead(&wire.Reply{Error: fmt.Sprintf("the service is %s again: ask once more", k.state), Code: wire.CodeBusy})
		return
	}
	i.build, i.due = k.shelf.settle(s), true
	k.shelf.serves(i.build)
	k.backoff.deaths = 0
	if k.state == down {
		k.timer.Reset(0)
		return
	}
	if a := k.attempt; a != nil && a.successor != nil {
		_ = a.successor.process.Kill() // its end has the next one started
	}
}

// answerInstead answers who asked for the build.
func (k *Keeper) answerInstead(r *wire.Reply) {
	if i := k.instead; i != nil {
		k.instead = nil
		r.Attempt = k.attempts
		i.who.answer(r)
	}
}

// insteadServes notes that g serves.
func (k *Keeper) insteadServes(g *generation) {
	if i := k.instead; i != nil && i.due {
		k.answerInstead(&wire.Reply{Outcome: "final", Generation: g.number, PID: g.PID(), Build: g.Build.String()})
	}
}

// insteadFell notes that a process has ended that served, or was to: whether it was of that build.
func (k *Keeper) insteadFell(b stock, how string) {
	if i := k.instead; i != nil && i.due && b.is(i.build) {
		k.answerInstead(&wire.Reply{Outcome: "aborted", Error: how, Code: wire.CodeFailed})
	}
}

var errReplaced = errors.New("another build is being started already, as none serves")
