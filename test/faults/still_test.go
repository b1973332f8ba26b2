//go:build linux

package faults

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestHandoverGoesOnAfterBothSidesStoodStill for as long as the freeze may last, as on a host that was suspended; the successor does for a
// moment longer. Guard: the deadline moves by the time for which a process did not run, deadlineTimer.tick; without it the incumbent
// takes its own silence for its successor's, and aborts.
func TestHandoverGoesOnAfterBothSidesStoodStill(t *testing.T) {
	t.Parallel()
	const freeze = 6 * time.Second
	f := fault{direction: "receive", frame: "FREEZE", moment: "before", effect: "STOP"}
	r := armed(t, f, crowd, "HANDOVER_FREEZE_TIMEOUT="+freeze.String())
	incumbent, watch := r.PID(), r.watchStrike()
	r.upgrade()
	successor := r.victim(watch)
	r.Signal(incumbent, syscall.SIGSTOP)
	awaitStopped(r.Run, incumbent)
	awaitStopped(r.Run, successor)
	r.pass(freeze)
	r.Signal(incumbent, syscall.SIGCONT)
	r.pass(500 * time.Millisecond) // it looks at its deadline, and for frames that may be on their way
	r.Signal(successor, syscall.SIGCONT)
	if line := r.settle(); !strings.Contains(line, `msg="serving: the handover is final"`) {
		t.Errorf("%q, want the handover final", line)
	}
	r.finish()
}

// pass lets time pass.
func (r *run) pass(d time.Duration) {
	passed, cancel := context.WithTimeout(r.Ctx, d)
	defer cancel()
	<-passed.Done()
}
