package lifecycle

import (
	"strings"
	"testing"

	"github.com/handover-go/handover/test/internal/rig"
)

// TestHandoversLeaveNothingBehind does ten that are aborted and ten that are final, and counts: descriptors and goroutines of the
// generation that serves are no more than after the first final one, and it is alone.
func TestHandoversLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	r := named(t)
	r.upgrades()
	sameDescriptors, sameGoroutines := r.descriptors(), r.goroutines()
	for i := range 10 {
		r.Renew()
		r.Swap(rig.Build(t, []string{"exit", "check"}[i%2]))
		if line := r.attempt(); !strings.Contains(line, aborted) {
			t.Fatalf("%q, want %s", line, aborted)
		}
	}
	r.assertAlone(r.PID())
	sameDescriptors()
	sameGoroutines()
	r.Swap(rig.Build(t, ""))
	r.Upgrade(10)
	r.Renew()
	r.assertAlone(r.PID())
	sameDescriptors()
	sameGoroutines()
}

// TestResumedHandoversLeaveNothingBehind does so after builds that had to be taken back, dead and alive.
func TestResumedHandoversLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	r := named(t, "HANDOVER_PROBATION=10s")
	sameDescriptors, sameGoroutines := r.descriptors(), r.goroutines()
	for range 2 {
		for _, flaw := range []string{"crash", "failing"} {
			r.Swap(rig.Build(t, flaw))
			outcome, serves := r.outcome(), r.WatchFor(proving)
			r.begin()
			r.Line(serves)
			for i := range 10 {
				c := r.dial()
				c.Ask("/?id=" + []string{"again", "fail"}[i/9])
				c.Peek(1) // it may have crashed
				c.Close()
			}
			if line := r.Line(outcome); !strings.Contains(line, resumed) {
				t.Fatalf("%q, want %s", line, resumed)
			}
		}
	}
	r.assertAlone(r.PID())
	sameDescriptors()
	sameGoroutines()
}

// TestChildOfAServiceInheritsNothingOfTheHandover has generations start a process: what was meant for them alone, by the incumbent or
// by socket activation, is not in its environment, and it has none of their descriptors.
func TestChildOfAServiceInheritsNothingOfTheHandover(t *testing.T) {
	t.Parallel()
	r := named(t, "LISTEN_PID=1", "LISTEN_FDS=1", "LISTEN_FDNAMES=http")
	for generation := 1; generation <= 2; generation++ {
		said := r.get("/child")
		if !strings.Contains(said, "HANDOVER_NAME=shop") {
			t.Fatalf("no environment in %q", said)
		}
		for line := range strings.Lines(said) {
			for _, foreign := range []string{"HANDOVER_LINK=", "HANDOVER_MANAGER=", "LISTEN_"} {
				if strings.HasPrefix(line, foreign) {
					t.Errorf("a child of generation %d has %s", generation, line)
				}
			}
			for _, kind := range []string{"socket:", "pidfd", "eventpoll"} {
				if strings.Contains(line, " -> ") && strings.Contains(line, kind) {
					t.Errorf("a child of generation %d holds %s", generation, line)
				}
			}
		}
		r.Upgrade(1)
	}
}
