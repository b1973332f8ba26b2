package keeper

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/test/internal/control"
	"github.com/handover-go/handover/test/internal/rig"
)

// voter is a control client that watches a handover.
type voter struct {
	r      *run
	link   *wire.Link
	states chan string
	ended  chan *wire.Reply // closed without one, if none comes
}

// asksTo has a client ask, and hear what comes.
func (r *run) asksTo(question wire.Message) *voter {
	r.t.Helper()
	link, err := control.Dial(r.takeover, patience)
	must(r.t, err)
	v := &voter{r: r, link: link, states: make(chan string, 100), ended: make(chan *wire.Reply, 1)}
	done := make(chan struct{})
	r.t.Cleanup(func() {
		_ = link.Close()
		<-done
	})
	must(r.t, link.Send(0, question))
	go func() {
		defer close(done)
		defer close(v.ended)
		for {
			f, err := link.Receive()
			if err != nil {
				return
			}
			switch m := f.Message.(type) {
			case *wire.State:
				v.states <- m.State
			case *wire.Reply:
				v.ended <- m
			case *wire.Abort:
				v.ended <- &wire.Reply{Error: m.Reason, Code: m.Code}
				return
			}
		}
	}()
	return v
}

func (v *voter) says(verdict, reason string) {
	v.r.t.Helper()
	must(v.r.t, v.link.Send(0, &wire.Vote{Verdict: verdict, Reason: reason}))
}

// reaches waits for a state.
func (v *voter) reaches(state string) {
	v.r.t.Helper()
	for {
		select {
		case s := <-v.states:
			if s == state {
				return
			}
		case reply := <-v.ended:
			v.r.t.Fatalf("%+v, before %s\n%s", reply, state, v.r.Output(60))
		case <-v.r.Ctx.Done():
			v.r.t.Fatalf("no %s\n%s", state, v.r.Output(60))
		}
	}
}

// ends waits for the end.
func (v *voter) ends(outcome string) *wire.Reply {
	v.r.t.Helper()
	select {
	case reply := <-v.ended:
		if reply == nil || reply.Outcome != outcome {
			v.r.t.Fatalf("%+v, want %q\n%s", reply, outcome, v.r.Output(60))
		}
		return reply
	case <-v.r.Ctx.Done():
		v.r.t.Fatalf("no end\n%s", v.r.Output(60))
		return nil
	}
}

// holds makes sure that probation, which is over after 100 ms, does not end.
func (v *voter) holds() {
	v.r.t.Helper()
	select {
	case reply := <-v.ended:
		v.r.t.Fatalf("%+v, while it was held\n%s", reply, v.r.Output(60))
	case <-time.After(500 * time.Millisecond):
	}
}

var (
	watched = &wire.Upgrade{Watch: true}
	follow  = &wire.Status{Follow: true}
)

// TestWhoAskedForAHandoverVotes has the client that asked hold, promote and take back, with and without a keeper.
func TestWhoAskedForAHandoverVotes(t *testing.T) {
	t.Parallel()
	for name, keeps := range map[string]bool{"with a keeper": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, kept{})
			if !keeps {
				gone := r.Watch(func(line string) bool { return strings.Contains(line, alone) })
				r.Kill(r.keeper)
				r.Line(gone)
			}
			r.drive()
			v := r.asksTo(watched)
			v.says(wire.VoteHold, "to be looked at")
			v.holds()
			v.says(wire.VotePass, "")
			v.ends("final")

			v = r.asksTo(watched)
			v.says(wire.VoteHold, "to be looked at")
			v.reaches("probation")
			v.says(wire.VoteFail, "it is slow")
			if reply := v.ends("resumed"); !strings.Contains(reply.Error, "it is slow") || reply.Code != wire.CodeFailed {
				t.Errorf("%+v", reply)
			}

			r.swap(rig.Build(t, "hang")) // the vote is there before it is ready
			v = r.asksTo(watched)
			v.says(wire.VoteFail, "not now")
			if reply := v.ends("aborted"); !strings.Contains(reply.Error, "not now") || reply.Code != wire.CodeFailed {
				t.Errorf("%+v", reply)
			}

			r.swap(rig.Build(t, ""))
			v = r.asksTo(watched)
			v.says(wire.VoteHold, "for as long as this client lives")
			v.holds()
			other := r.asksTo(follow)
			must(t, v.link.Close())
			other.ends("final")
			handovertest.AssertNothingLost(t, r.Finish())
		})
	}
}

// TestPromotionEndsAProbationThatIsLong promotes from the start, and in probation. Under a keeper that checks, too.
func TestPromotionEndsAProbationThatIsLong(t *testing.T) {
	t.Parallel()
	r := start(t, kept{env: []string{"HANDOVER_PROBATION=1h"}, flags: healthy("/?id=check")}).drive()
	v := r.asksTo(watched)
	v.says(wire.VotePromote, "")
	v.ends("final")
	v = r.asksTo(watched)
	v.reaches("probation")
	v.says(wire.VotePromote, "")
	v.ends("final")
	handovertest.AssertNothingLost(t, r.Finish())
}

// TestOneClientVotesAndOthersFollow tells every client how the handover ends; only when who asked has left, another may vote.
func TestOneClientVotesAndOthersFollow(t *testing.T) {
	t.Parallel()
	r := start(t, kept{})
	if reply := r.asksTo(follow).ends(""); reply.Error != "" {
		t.Errorf("before the first handover: %+v", reply)
	}
	asked := r.asksTo(watched)
	asked.says(wire.VoteHold, "")
	asked.reaches("probation")
	denied, other := r.asksTo(follow), r.asksTo(follow)
	denied.says(wire.VotePass, "")
	if reply := denied.ends(""); reply.Code != wire.CodeDenied {
		t.Errorf("another client votes: %+v", reply)
	}
	asked.holds()
	must(t, asked.link.Close())
	first := other.ends("final")
	if again := r.asksTo(follow).ends("final"); !reflect.DeepEqual(again, first) {
		t.Errorf("%+v, and later %+v", first, again)
	}

	asked = r.asksTo(watched)
	asked.says(wire.VoteHold, "")
	asked.reaches("probation")
	other = r.asksTo(follow)
	must(t, asked.link.Close())
	r.Eventually("nobody who votes", func() (any, bool) { // or the handover is final: its probation is over
		v := r.asksTo(follow)
		v.says(wire.VoteFail, "no")
		code := v.code()
		return code, code != wire.CodeDenied
	})
	other.outcome()
	if reply := r.ask(&wire.Upgrade{Keeper: true}); reply.Outcome != "final" {
		t.Fatalf("%+v", reply)
	}
	if again := r.asksTo(follow); again.outcome() == "" {
		t.Error("a replaced keeper does not know how the last handover ended")
	}
}

// code waits for the end, whatever it is.
func (v *voter) code() wire.Code { return v.end().Code }

func (v *voter) outcome() string { return v.end().Outcome }

func (v *voter) end() *wire.Reply {
	v.r.t.Helper()
	select {
	case reply := <-v.ended:
		if reply != nil {
			return reply
		}
	case <-v.r.Ctx.Done():
	}
	v.r.t.Fatalf("no end\n%s", v.r.Output(60))
	return nil
}
