//go:build linux

package faults

import (
	"syscall"
	"testing"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/journal"
)

// TestSignalThatCrossesFinalIsAnswered, though the generation to which the successor passes it on, whose FINAL is on its way, reads nothing more and ends.
// Guard: life.unanswered; without it the signal is forgotten.
func TestSignalThatCrossesFinalIsAnswered(t *testing.T) {
	t.Parallel()
	r := serve(t, handovertest.FreeAddress(t), arm(t, fault{direction: "receive", frame: "FINAL", moment: "2s", effect: "DELAY"}))
	first, watch := r.PID(), r.watchStrike()
	r.upgrade()
	successor := r.victim(watch)
	r.AwaitExit(first)
	begins, final := r.WatchFor(`msg="handover begins`, journal.By(successor)), r.WatchFor(`msg="serving: the handover is final"`, "generation=3")
	r.Signal(successor, syscall.SIGUSR2)
	r.Line(begins, "the signal is forgotten")
	r.Line(final, "what it began is not final")
}
