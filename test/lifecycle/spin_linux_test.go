package lifecycle

import (
	"strings"
	"testing"
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
			idle.ask("/?id=idle")
			idle.answerBy(incumbent)
			r.Swap(build(t, "spin"))
			serves, outcome := r.Watch(says(proving)), r.outcome()
			r.begin()
			successor := number(t, r.line(serves), "pid")
			r.dial().ask("/?id=spin")
			wantReason(t, r.line(outcome), resumed, c.reason)
			idle.ask("/?id=again")
			idle.answerBy(incumbent)
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
	cut := r.Watch(says(`msg="drain deadline: connections closed"`, by(before)))
	final := r.Watch(says(succeeded))
	r.begin() // asked of the generation that answers still
	spins.ask("/?id=spin")
	after := number(t, r.line(final), "pid")
	if line := r.line(cut); number(t, line, "connections") != 1 {
		t.Errorf("%q, want 1 connection", line)
	}
	r.AwaitExit(before)
	r.assertServes(after)
	r.assertAlone(after)
}
