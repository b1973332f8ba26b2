package keeper

import (
	"strings"
	"testing"

	"github.com/handover-go/handover/internal/wire"
)

func TestVotesAreCombined(t *testing.T) {
	for _, c := range []struct{ health, asked, want, reason string }{
		{"", "", "", ""},
		{"", wire.VoteHold, wire.VoteHold, ""},
		{"", wire.VotePass, wire.VotePass, ""},
		{"", wire.VotePromote, wire.VotePromote, ""},
		{"", wire.VoteFail, wire.VoteFail, "who asked for it takes it back: "},
		{wire.VoteHold, "", wire.VoteHold, ""},
		{wire.VoteHold, wire.VotePass, wire.VoteHold, ""},
		{wire.VoteHold, wire.VotePromote, wire.VoteHold, ""},
		{wire.VoteHold, wire.VoteFail, wire.VoteFail, "who asked"},
		{wire.VotePass, "", wire.VotePass, ""},
		{wire.VotePass, wire.VoteHold, wire.VoteHold, ""},
		{wire.VotePass, wire.VotePromote, wire.VotePromote, ""},
		{wire.VoteFail, wire.VotePromote, wire.VoteFail, "the keeper's check: "},
		{wire.VoteFail, wire.VoteHold, wire.VoteFail, "the keeper's check: "},
	} {
		a := &attempt{health: wire.Vote{Verdict: c.health}, asked: wire.Vote{Verdict: c.asked}}
		if got := a.combined(); got.Verdict != c.want || !strings.HasPrefix(got.Reason, c.reason) {
			t.Errorf("%q and %q: %+v, want %q", c.health, c.asked, got, c.want)
		}
	}
}

func TestOneOfTheCallersVotes(t *testing.T) {
	first, second, stranger := &wire.Link{}, &wire.Link{}, &wire.Link{}
	c := callersOf(caller{link: first})
	c.all = append(c.all, caller{link: second})
	if may, heard := c.may(second); may || !heard {
		t.Error("a second client votes beside the one that asked")
	}
	if may, heard := c.may(first); !may || !heard {
		t.Error("who asked may not vote")
	}
	if !c.leave(first) {
		t.Error("who voted left, and nobody notices")
	}
	if may, _ := c.may(second); !may {
		t.Error("nobody else may vote once who asked has left")
	}
	if may, heard := c.may(stranger); may || heard {
		t.Error("a client votes that has nothing to do with it")
	}
	if c.leave(stranger) || c.leave(first) {
		t.Error("who did not vote left a vote")
	}
}
