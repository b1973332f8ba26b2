package plain

import (
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/test/internal/control"
)

// votes asks for an upgrade, says the votes straight away, and returns the reply and how long it took.
func (r *run) votes(all ...wire.Vote) (*wire.Reply, time.Duration) {
	r.t.Helper()
	began := time.Now()
	link, err := control.Dial(r.takeover, patience)
	must(r.t, err)
	defer link.Close()
	must(r.t, link.Send(0, &wire.Upgrade{Watch: true}))
	for _, v := range all {
		must(r.t, link.Send(0, &v))
	}
	for {
		f, err := link.Receive()
		if err != nil {
			r.t.Fatalf("%v\n%s", err, r.said())
		}
		switch m := f.Message.(type) {
		case *wire.Reply:
			return m, time.Since(began)
		case *wire.State:
			if m.State == "probation" && len(all) == 1 && all[0].Verdict == wire.VoteHold {
				select { // longer than probation
				case <-time.After(time.Second):
				case <-r.Ctx.Done():
				}
				must(r.t, link.Send(0, &wire.Vote{Verdict: wire.VotePass}))
			}
		}
	}
}

// TestWhoAskedForAPlainUpgradeVotes holds, promotes and takes back a program whose probation the keeper decides on.
func TestWhoAskedForAPlainUpgradeVotes(t *testing.T) {
	t.Parallel()
	r := start(t, kept{flags: []string{"-settle", "1m"}, fault: "says"})
	if reply, took := r.votes(wire.Vote{Verdict: wire.VoteHold}); reply.Outcome != "final" || took < time.Second {
		t.Errorf("held: %+v after %s", reply, took)
	}
	before := r.status().PID
	r.breaks("") // never says READY=1, as the one before it did: the vote is there in time
	if reply, _ := r.votes(wire.Vote{Verdict: wire.VoteFail, Reason: "not now"}); reply.Outcome != "aborted" || !strings.Contains(reply.Error, "not now") {
		t.Errorf("taken back: %+v", reply)
	}
	r.alone(before)

	r = start(t, kept{flags: []string{"-settle", "50ms"}, env: []string{"HANDOVER_PROBATION=1h"}})
	if reply, took := r.votes(wire.Vote{Verdict: wire.VotePromote}); reply.Outcome != "final" || took > patience {
		t.Errorf("promoted: %+v after %s\n%s", reply, took, r.said())
	}
}
