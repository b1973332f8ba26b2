package handover

import (
	"errors"
	"slices"
	"time"

	"github.com/handover-go/handover/internal/wire"
)

// vote is what someone outside wants of a handover: the keeper, for itself and for who asked it; without a keeper, who asked this
// generation.
type vote struct {
	wire.Vote
	at time.Time // when it was said
}

// against begins the reason of what a vote has ended.
const against = "voted against: "

// voted takes a vote on the handover under way. One against the successor aborts as long as it does not accept; between COMMIT and
// SERVING it waits for probation, as nobody could be taken back in good order.
func (l *life) voted(v wire.Vote) {
	a := l.attempt
	a.vote = vote{v, time.Now()}
	switch {
	case a.watch != nil:
		a.watch.voted()
	case v.Verdict == wire.VoteFail && l.state >= offering && l.state < committed:
		a.refuse(wire.CodeFailed, errors.New(against+v.Reason))
		l.raise(onAbort, "voted against")
	}
}

// callers are control clients that wait for the end of a handover. One of them votes.
type callers struct {
	voter  *wire.Link // who asked for it, or voted first after that one has left; nil: nobody yet
	others []follower
}

// follower is one that did not ask for it, by its link.
type follower struct {
	link *wire.Link
	told func(ended)
}

// follow has the end told to someone who did not ask for it.
func (c *callers) follow(link *wire.Link, told func(ended)) {
	c.others = append(c.others, follower{link, told})
}

// may reports whether a client may vote. One that has nothing to do with this handover asked for the one before: heard is false.
func (c *callers) may(link *wire.Link) (may, heard bool) {
	heard = c.voter == link || slices.ContainsFunc(c.others, func(f follower) bool { return f.link == link })
	if heard && c.voter == nil {
		c.voter = link
	}
	return c.voter == link, heard
}

// leave forgets a client. It reports whether that was the one that votes.
func (c *callers) leave(link *wire.Link) (voted bool) {
	c.others = slices.DeleteFunc(c.others, func(f follower) bool { return f.link == link })
	if voted = c.voter == link; voted {
		c.voter = nil
	}
	return voted
}

// tell tells all who follow.
func (c *callers) tell(e ended) {
	for _, f := range c.others {
		f.told(e)
	}
	c.others = nil
}

// ballot takes the vote of a control client. What comes after the handover has ended is ignored: it crossed the REPLY.
func (l *life) ballot(link *wire.Link, v wire.Vote) (denial *wire.Abort) {
	if l.attempt == nil {
		return nil
	}
	switch may, heard := l.attempt.callers.may(link); {
	case may && wire.KnownVerdict(v.Verdict):
		l.log.Info("vote", "attempt", l.attempt.number, "verdict", v.Verdict, "reason", v.Reason)
		l.voted(v)
	case heard:
		return &wire.Abort{Code: wire.CodeDenied, Reason: "another client votes, or the verdict is not known", Protocol: wire.Protocols, Build: l.process.build}
	}
	return nil
}

// left withdraws the hold of a control client.
func (l *life) left(link *wire.Link) {
	if a := l.attempt; a != nil && a.callers.leave(link) && a.vote.Verdict == wire.VoteHold {
		l.voted(wire.Vote{Verdict: wire.VotePass})
	}
}
