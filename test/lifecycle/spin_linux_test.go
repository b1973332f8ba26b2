package lifecycle

import (
	"strings"
	"syscall"
	"testing"

	"github.com/handover-go/handover/test/internal/journal"
	"github.com/handover-go/handover/test/internal/rig"
)

// TestBuildThatSpinsAfterTheCommitIsTakenBack has one that answers no request, and uses all the processor it may have: with Go's
// preemption it still gives everything back, without it it is killed.
func TestBuildThatSpinsAfterTheCommitIsTakenBack(t *testing.T) {
	t.Parallel()
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
			r := start(t, c.env, failures, "GOMAXPROCS=1", "HANDOVER_PROBATION=7s", "HANDOVER_CHECK_TIMEOUT=1500ms", "HANDOVER_DRAIN_TIMEOUT=1s")
			incumbent, idle := r.PID(), r.dial()
			idle.IsOf(incumbent)
			r.Swap(rig.Build(t, "spin"))
			serves, outcome := r.WatchFor(proving), r.outcome()
			r.begin()
			successor := journal.Number(t, r.Line(serves), "pid")
			r.dial().Ask("/?id=spin")
			wantReason(t, r.Line(outcome), resumed, c.reason)
			idle.Ask("/?id=again")
			idle.AnswerBy(incumbent)
			r.AwaitExit(successor)
			r.AssertServes(incumbent)
			r.upgrades()
		})
	}
}

// TestDrainingGenerationThatSpinsIsCutAtItsDeadline has a request there that never ends.
func TestDrainingGenerationThatSpinsIsCutAtItsDeadline(t *testing.T) {
	t.Parallel()
	r := startFrom(t, rig.Build(t, "spin"), "GOMAXPROCS=1", "HANDOVER_DRAIN_TIMEOUT=1s")
	before, spins := r.PID(), r.dial()
	r.Swap(rig.Build(t, ""))
	cut := r.WatchFor(`msg="drain deadline: connections closed"`, journal.By(before))
	final := r.WatchFor(succeeded)
	begins := r.WatchFor(`msg="spins"`)
	spins.Ask("/?id=spin")
	r.Line(begins)
	r.Signal(before, syscall.SIGUSR2)
	after := journal.Number(t, r.Line(final), "pid")
	if line := r.Line(cut); journal.Number(t, line, "connections") != 1 {
		t.Errorf("%q, want 1 connection", line)
	}
	r.AwaitExit(before)
	r.AssertServes(after)
	r.assertAlone(after)
}
