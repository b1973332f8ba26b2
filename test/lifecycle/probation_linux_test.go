package lifecycle

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/journal"
	"github.com/handover-go/handover/test/internal/rig"
)

// TestBuildThatCrashesAfterTheCommitIsTakenBack loses what the bad build had accepted, and nothing else.
func TestBuildThatCrashesAfterTheCommitIsTakenBack(t *testing.T) {
	t.Parallel()
	for _, bad := range []struct {
		name, flaw string
		costs      int // at least
	}{
		{"at its tenth request", "crash", 1},
		{"after a second", "late", 0}, // no connection may be open just then
	} {
		t.Run(bad.name, func(t *testing.T) {
			t.Parallel()
			r := start(t, "HANDOVER_PROBATION=3s").drive()
			incumbent := r.PID()
			r.Swap(rig.Build(t, bad.flaw))
			crashing := r.WatchFor(`msg="crashing"`)
			line := r.attempt()
			wantReason(t, line, resumed, "the successor ended after the commit: exit status 3")
			death := r.Line(crashing)
			nanos, err := strconv.ParseInt(journal.Attribute(death, "at"), 10, 64)
			must(t, err)
			died := time.Unix(0, nanos)
			r.Driver.Killed(journal.Number(t, death, "pid"), died)
			r.Answers(20)
			if pid := r.PID(); pid != incumbent {
				t.Errorf("process %d answers, want the incumbent, %d", pid, incumbent)
			}
			t.Logf("%s from death to the first connection that the incumbent accepted", r.firstAccept(incumbent, died).Sub(died))
			r.upgrades()
			r.finishAfterCrash(bad.costs)
		})
	}
}

// TestBuildThatHangsAfterTheCommitIsTakenBack has the check find a build whose handlers never answer. Its idle connections
// come back; requests that it had taken are lost when it has drained for as long as it may.
func TestBuildThatHangsAfterTheCommitIsTakenBack(t *testing.T) {
	t.Parallel()
	r := start(t, "HANDOVER_PROBATION=4s", "HANDOVER_CHECK_TIMEOUT=1500ms", "HANDOVER_CHECK_FAILURES=2", "HANDOVER_DRAIN_TIMEOUT=5s").drive()
	incumbent := r.PID()
	r.Swap(rig.Build(t, "deaf"))
	serves := r.WatchFor(proving)
	line := r.attempt()
	wantReason(t, line, resumed, "check failed 2 times in a row")
	// From now on the bad build accepts nothing, and what it has taken is lost though it lives.
	deaf := journal.Number(t, r.Line(serves), "pid")
	r.Driver.Killed(deaf, journal.Written(t, line))
	r.Answers(20)
	if pid := r.PID(); pid != incumbent {
		t.Errorf("process %d answers, want the incumbent, %d", pid, incumbent)
	}
	r.upgrades()
	r.finishAfterCrash(1)
}

// TestBuildWhoseWorkFailsGivesEverythingBack has background work fail after the commit: the build asks to be taken back, and
// nothing is lost.
func TestBuildWhoseWorkFailsGivesEverythingBack(t *testing.T) {
	t.Parallel()
	r := start(t, "HANDOVER_PROBATION=3s").drive()
	incumbent := r.PID()
	r.Swap(rig.Build(t, "failing"))
	serves, outcome, left := r.WatchFor(proving), r.outcome(), r.WatchFor(ended)
	r.begin()
	successor := journal.Number(t, r.Line(serves), "pid")
	must(t, r.Driver.WaitPID(r.Ctx, successor))
	r.get("/?id=fail")
	wantReason(t, r.Line(outcome), resumed, "background work has no luck")
	if line := r.Line(left); !strings.Contains(line, journal.By(successor)) || !strings.Contains(journal.Attribute(line, "error"), "successor taken back: background work has no luck") {
		t.Errorf("the successor says %q: not that, and why, it was taken back", line)
	}
	r.AssertServes(incumbent)
	r.upgrades()
	r.Finish()
}

// TestBuildThatCannotStopIsKilledBeforeTheIncumbentResumes has a build that is to be taken back go on with its background work.
func TestBuildThatCannotStopIsKilledBeforeTheIncumbentResumes(t *testing.T) {
	t.Parallel()
	r := start(t, "HANDOVER_PROBATION=3s", "HANDOVER_FREEZE_TIMEOUT=2s").drive()
	incumbent := r.PID()
	r.Swap(rig.Build(t, "stuck"))
	serves, outcome, killed := r.WatchFor(proving), r.outcome(), r.WatchFor(`msg="the successor is killed"`)
	r.begin()
	successor := journal.Number(t, r.Line(serves), "pid")
	must(t, r.Driver.WaitPID(r.Ctx, successor))
	r.Signal(successor, syscall.SIGTERM)
	kill := r.Line(killed)
	if journal.Number(t, kill, "pid") != successor || journal.Attribute(kill, "state") != "fencing" {
		t.Errorf("%q, want process %d in state fencing", kill, successor)
	}
	r.Driver.Killed(successor, journal.Written(t, kill))
	wantReason(t, r.Line(outcome), resumed, "terminated")
	r.Answers(20)
	if pid := r.PID(); pid != incumbent {
		t.Errorf("process %d answers, want the incumbent, %d", pid, incumbent)
	}
	r.upgrades()
	r.finishAfterCrash(0)
}

// finishAfterCrash ends the load, of which nothing may be lost but in the crash, and there not less than it must have cost.
func (r *run) finishAfterCrash(costs int) {
	r.t.Helper()
	report := r.Driver.Stop()
	handovertest.AssertLostInCrashOnly(r.t, report)
	if report.LostInCrash < costs {
		r.t.Errorf("the crash cost less than %d: %s", costs, report)
	}
	r.t.Logf("%d requests, %d lost in the crash, longest gap %s", report.Requests, report.LostInCrash, report.LongestGap)
}

// firstAccept is when a process accepted a connection for the first time after an instant, by its ledger.
func (r *run) firstAccept(pid int, after time.Time) time.Time {
	r.t.Helper()
	var first time.Time
	r.Eventually("a connection in the ledger", func() (any, bool) {
		ledger, err := os.ReadFile(filepath.Join(r.Load().Ledger, itoa(pid)+".accepts"))
		must(r.t, err)
		for line := range strings.Lines(string(ledger)) {
			words := strings.Fields(line) // the address, the service's port, the time, and the state
			if nanos, err := strconv.ParseInt(words[2], 10, 64); err == nil && words[3] == http.StateNew.String() && nanos > after.UnixNano() {
				first = time.Unix(0, nanos)
				return nil, true
			}
		}
		return len(ledger), false
	})
	return first
}
