package lifecycle

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/test/internal/client"
	"github.com/handover-go/handover/test/internal/journal"
	"github.com/handover-go/handover/test/internal/rig"
)

// Lines that answer an upgrade signal, at the process that got it.
const (
	passedOn   = `msg="upgrade signal passed on to the generation that serves"`
	answeredBy = `msg="upgrade signal answered by the generation that serves"`
)

// TestEverySignalOfAStormIsAnswered sends a hundred upgrade signals, ten milliseconds apart, to whichever process answers
// clients then: each begins a handover, or is answered with the number of the one under way, and what began is final.
func TestEverySignalOfAStormIsAnswered(t *testing.T) {
	t.Parallel()
	r := start(t).drive()
	began, answered := map[string]bool{}, 0
	final := r.WatchFor(succeeded)
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	for range 100 {
		<-pace.C
		r.Renew()
		pid, release := r.pin()
		says, begins := journal.SaysAny(begun, refused, answeredBy), r.WatchFor(begun)
		answer := r.Watch(func(line string) bool { return strings.Contains(line, journal.By(pid)) && says(line) })
		r.Signal(pid, syscall.SIGUSR2)
		line := r.Line(answer)
		if strings.Contains(line, answeredBy) && strings.Contains(line, `error=""`) {
			line = r.Line(begins) // said by whoever serves, before or afterwards: it is not to be taken for what the next signal brings
		}
		begins.Forget()
		release()
		attempt := journal.Attribute(line, "attempt")
		switch {
		case strings.Contains(line, begun):
			began[attempt] = true
		case began[attempt]:
			answered++
		default:
			t.Fatalf("answered with attempt %q, which never began:\n%s\n%s", attempt, line, r.Output(60))
		}
	}
	r.Line(final)
	r.awaitLast(len(began))
	report := r.Finish()
	t.Logf("%d handovers, %d signals answered with a number, %d requests", len(began), answered, report.Requests)
	if len(began) == 0 || answered == 0 {
		t.Errorf("%d handovers began, %d signals came while one was under way: want both", len(began), answered)
	}
}

// pin names who answers clients now, and has it live until release.
func (r *run) pin() (pid int, release func()) {
	r.t.Helper()
	c := r.dial()
	c.Ask("/events")
	_, err := fmt.Fscanf(c.Head().Body, "id: 0\ndata: %d\n", &pid)
	must(r.t, err)
	return pid, func() { c.Close() }
}

// TestBurstOfSignalsIsOneHandover sends a hundred upgrade signals at once: the kernel merges those that are not delivered yet.
func TestBurstOfSignalsIsOneHandover(t *testing.T) {
	t.Parallel()
	r := start(t, "HANDOVER_PROBATION=3s").drive()
	pid := r.PID()
	w := r.outcome()
	for range 100 {
		r.Signal(pid, syscall.SIGUSR2)
	}
	if line := r.Line(w); !strings.Contains(line, succeeded) {
		t.Errorf("%q, want %s", line, succeeded)
	}
	r.awaitLast(1)
	r.Finish()
	output := r.Output(1 << 20)
	if n := strings.Count(output, begun); n != 1 {
		t.Errorf("%d handovers began, want 1", n)
	}
	for line := range strings.Lines(output) {
		if strings.Contains(line, refused) && journal.Attribute(line, "attempt") != "1" {
			t.Errorf("a signal is not answered with the attempt's number: %s", line)
		}
	}
}

// awaitLast waits until that many handovers are final, and only the generation that came of the last is left.
func (r *run) awaitLast(handovers int) {
	r.t.Helper()
	r.Eventually("each handover final", func() (any, bool) {
		n := strings.Count(r.Output(1<<20), succeeded)
		return n, n == handovers
	})
	r.assertAlone(r.PID())
}

// TestSignalToADrainingGenerationUpgradesTheService has the generation that still drains pass it on, though to one that leaves just then.
func TestSignalToADrainingGenerationUpgradesTheService(t *testing.T) {
	t.Parallel()
	r := start(t).drive()
	first, held := r.PID(), client.Hold(t, r.address, patience)
	r.Upgrade(1)
	second := r.PID()
	for _, generation := range []int{3, 4} { // the second time, its link leads to a successor by redirection
		passed, began, answer, final := r.WatchFor(passedOn), r.WatchFor(begun), r.WatchFor(answeredBy), r.WatchFor(succeeded)
		r.Signal(first, syscall.SIGUSR2)
		if line := r.Line(passed); !strings.Contains(line, journal.By(first)) {
			t.Errorf("%q, want it of process %d", line, first)
		}
		if line := r.Line(began); !strings.Contains(line, journal.By(second)) {
			t.Errorf("%q, want it of process %d", line, second)
		}
		if line := r.Line(answer); journal.Number(t, line, "attempt") != generation-1 || journal.Attribute(line, "error") != "" {
			t.Errorf("%q, want attempt %d and no error", line, generation-1)
		}
		if line := r.Line(final); journal.Number(t, line, "generation") != generation {
			t.Errorf("%q, want generation %d", line, generation)
		}
		second = r.PID()
	}
	held.Send("body")
	held.AnswerBy(first)
	r.assertAlone(second)
	r.Finish()
}

// TestSignalToASuccessorIsAnsweredWithTheNumber sends it one that prepares, one that checks itself, one on probation.
func TestSignalToASuccessorIsAnsweredWithTheNumber(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ state, flaw, stays string }{{"checking", "unsure", "HANDOVER_CHECK_TIMEOUT=3s"}, {"proving", "", "HANDOVER_PROBATION=3s"}} {
		t.Run(c.state, func(t *testing.T) {
			t.Parallel()
			r := start(t, c.stays).drive()
			r.Swap(rig.Build(t, c.flaw))
			entered, outcome := r.WatchFor("to="+c.state), r.outcome()
			successor := journal.Number(t, r.begin(), "pid")
			r.Line(entered)
			passed, answer := r.WatchFor(passedOn), r.WatchFor(answeredBy)
			r.Signal(successor, syscall.SIGUSR2)
			if line := r.Line(passed); !strings.Contains(line, journal.By(successor)) {
				t.Errorf("%q, want it of process %d", line, successor)
			}
			line := r.Line(answer)
			if journal.Number(t, line, "attempt") != 1 || !strings.Contains(journal.Attribute(line, "error"), "a handover is under way: attempt 1") {
				t.Errorf("%q, want the number of the attempt under way, 1", line)
			}
			r.Line(outcome)
			r.upgrades()
			r.Finish()
		})
	}
}

// TestSignalBeforeRunDoesNotEndASuccessor sends it to one that has called New, and never calls Run.
func TestSignalBeforeRunDoesNotEndASuccessor(t *testing.T) {
	t.Parallel()
	r := start(t, "HANDOVER_READY_TIMEOUT=3s").drive()
	incumbent := r.PID()
	r.Swap(rig.Build(t, "hang"))
	entered, outcome := r.WatchFor("to=preparing"), r.outcome()
	successor := journal.Number(t, r.begin(), "pid")
	r.Line(entered)
	r.Signal(successor, syscall.SIGUSR2)
	wantReason(t, r.Line(outcome), aborted, "the successor was not ready in time")
	r.AssertServes(incumbent)
	r.upgrades()
	r.Finish()
}
