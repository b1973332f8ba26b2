package lifecycle

import (
	"strings"
	"testing"

	"github.com/handover-go/handover/test/internal/journal"
)

// TestBuildThatSpinsAfterTheCommitIsTakenBack has one that answers no request, and uses all the processor it may have: with Go's
// preemption it still gives everything back, without it it is killed.
func TestBuildThatSpinsAfterTheCommitIsTakenBack(t *testing.T) {
	for _, c := range []struct{ name, env, reason string }{
		{"found by the check", "GODEBUG=", "check failed 2 times in a row"},
		{"found by its silence", "GODEBUG=asyncpreemptoff=1", "nothing came within 5s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			failures := "HANDOVER_CHECK_FAILURES=2"
			if strings.Contains(c.env, "off") {
				failures = "HANDOVER_CHECK_FAILURES=1000"
			}
			r := start(t, c.env, failures, "GOMAXPROCS=1", "HANDOVER_PROBATION=7s", "HANDOVER_CHECK_TIMEOUT=500ms", "HANDOVER_DRAIN_TIMEOUT=1s")
			incumbent, idle := r.PID(), r.dial()
			idle.Ask("/?id=idle")
			idle.AnswerBy(incumbent)
			r.Swap(build(t, "spin"))
			serves, outcome := r.Watch(journal.Says(proving)), r.outcome()
			r.begin()
			successor := journal.Number(t, r.line(serves), "pid")
			r.dial().Ask("/?id=spin")
			wantReason(t, r.line(outcome), resumed, c.reason)
			idle.Ask("/?id=again")
			idle.AnswerBy(incumbent)
			r.AwaitExit(successor)
			r.assertServes(incumbent)
			r.upgrades()
		})
	}
}

// TestDrainingGenerationThatSpinsIsCutAtItsDeadline has a request there that never ends.
func TestDrainingGenerationThatSpinsIsCutAtItsDeadline(t *testing.T) {
	t.Parallel()
	r := startFrom(t, build(t, "spin"), "GOMAXPROCS=1", "HANDOVER_DRAIN_TIMEOUT=1s")
	before, spins := r.PID(), r.dial()
	r.Swap(build(t, ""))
	cut := r.Watch(journal.Says(`msg="drain deadline: connections closed"`, journal.By(before)))
	final := r.Watch(journal.Says(succeeded))
	r.begin() // asked of the generation that answers still
	spins.Ask("/?id=spin")
	after := journal.Number(t, r.line(final), "pid")
	if line := r.line(cut); journal.Number(t, line, "connections") != 1 {
		t.Errorf("%q, want 1 connection", line)
	}
	r.AwaitExit(before)
	r.assertServes(after)
	r.assertAlone(after)
}
