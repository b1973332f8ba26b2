package keeper

import (
	"errors"
	"slices"
	"time"

	"github.com/handover-go/handover/internal/wire"
)

// caller waits for the end of a handover.
type caller struct {
	link   *wire.Link        // of a control client that may vote; else nil
	answer func(*wire.Reply) // hears how it ended
	watch  func(*wire.State) // hears where a generation stands; may be nil
}

// callers are who asked for a handover and who follow it. One of them votes.
type callers struct {
	all   []caller
	voter *wire.Link // who asked for it, or voted first after that one has left; nil: nobody yet
}

func callersOf(who caller) callers { return callers{all: []caller{who}, voter: who.link} }

// may reports whether a client may vote. One that has nothing to do with this handover asked for the one before: heard is false.
func (c *callers) may(link *wire.Link) (may, heard bool) {
	heard = slices.ContainsFunc(c.all, func(other caller) bool { return other.link == link })
	if heard && c.voter == nil {
		c.voter = link
	}
	return c.voter == link, heard
}

// leave forgets a client. It reports whether that was the one that votes.
func (c *callers) leave(link *wire.Link) (voted bool) {
	for i := range c.all {
		if c.all[i].link == link {
			c.all[i].link = nil // its answer is waited for still
		}
	}
	if voted = c.voter == link; voted {
		c.voter = nil
	}
	return voted
}

func (c *callers) answer(r *wire.Reply) {
	for _, who := range c.all {
		who.answer(r)
	}
	c.all = nil
}

func (c *callers) tell(s *wire.State) {
	for _, who := range c.all {
		if who.watch != nil {
			who.watch(s)
		}
	}
}

// follow has who told how the handover under way ends, or, if there is none, how the last one has.
func (k *Keeper) follow(who caller) {
	if a := k.attempt; a != nil && k.state == upgrading {
		a.callers.all = append(a.callers.all, who)
		return
	}
	who.answer(k.ended)
}

// ballot takes the vote of a control client. What comes after the handover has ended is ignored: it crossed the REPLY.
func (k *Keeper) ballot(link *wire.Link, v wire.Vote) (denial *wire.Abort) {
	a := k.attempt
	if a == nil {
		return nil
	}
	switch may, heard := a.callers.may(link); {
	case may && heard && wire.KnownVerdict(v.Verdict):
		k.log.Info("vote", "service", k.config.Name, "attempt", k.attempts, "verdict", v.Verdict, "reason", v.Reason)
		a.asked = v
		a.vote(k)
	case heard:
		return &wire.Abort{Code: wire.CodeDenied, Reason: "another client votes, or the verdict is not known", Protocol: wire.Protocols, Build: k.build}
	}
	return nil
}

// quit withdraws the hold of a control client.
func (k *Keeper) quit(link *wire.Link) {
	if a := k.attempt; a != nil && a.callers.leave(link) && a.asked.Verdict == wire.VoteHold {
		a.asked = wire.Vote{Verdict: wire.VotePass}
		a.vote(k)
	}
}

// combined is the vote of both, the keeper and who asked. Nothing is promoted whose health is not known yet.
func (a *attempt) combined() wire.Vote {
	switch {
	case a.health.Verdict == wire.VoteFail:
		return wire.Vote{Verdict: wire.VoteFail, Reason: "the keeper's check: " + a.health.Reason}
	case a.asked.Verdict == wire.VoteFail:
		return wire.Vote{Verdict: wire.VoteFail, Reason: "who asked for it takes it back: " + a.asked.Reason}
	case a.health.Verdict == wire.VoteHold || a.asked.Verdict == "":
		return a.health
	default:
		return a.asked
	}
}

// vote says it to who decides: the incumbent, or the keeper itself, which takes back at once what has no process yet.
func (a *attempt) vote(k *Keeper) {
	v := a.combined()
	switch {
	case v.Verdict == "" || a.incumbent == nil:
	case a.trial != nil:
		a.trial.voted(k, a, v)
	case a.request != 0:
		a.incumbent.send(a.request, &v)
	case v.Verdict == wire.VoteFail:
		k.failed(a, wire.CodeFailed, errors.New(v.Reason))
	}
}

// voted acts on the vote on a program, which is taken back or promoted by the keeper itself.
func (t *trial) voted(k *Keeper, a *attempt, v wire.Vote) {
	t.held, t.promoted = time.Time{}, v.Verdict == wire.VotePromote
	over := !t.ready.IsZero() && (t.promoted || !time.Now().Before(t.until))
	switch {
	case v.Verdict == wire.VoteFail && a.successor == nil:
		k.failed(a, wire.CodeFailed, errors.New(v.Reason))
	case v.Verdict == wire.VoteFail && t.ready.IsZero():
		t.giveUp(k, a, wire.CodeFailed, v.Reason)
	case v.Verdict == wire.VoteFail:
		t.recall(k, a, v.Reason)
	case v.Verdict == wire.VoteHold:
		t.held = time.Now().Add(k.config.ReadyTimeout)
	case over:
		t.succeed(k, a)
	}
}
