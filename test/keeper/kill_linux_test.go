package keeper

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/test/internal/count"
	"github.com/handover-go/handover/test/internal/journal"
	"github.com/handover-go/handover/test/internal/rig"
)

// TestKilledServiceIsServedAgainAndRefusesNobody kills the only generation, under load: who connects meanwhile waits in the queue of
// the listener, which the keeper holds, and the next generation, of the same build, answers.
func TestKilledServiceIsServedAgainAndRefusesNobody(t *testing.T) {
	t.Parallel()
	r := start(t, kept{flags: []string{"-steady", "1ms"}}).drive()
	var gaps, starts []time.Duration
	for range count.Of(5, 50) {
		r.Renew()
		pid, starting, serves := r.PID(), r.WatchFor(runs), r.WatchFor(up)
		died := r.kill(pid)
		if next := r.PID(); next == pid {
			t.Fatalf("process %d answers after its death", pid)
		}
		gaps = append(gaps, time.Since(died))
		begun := r.Line(starting)
		starts = append(starts, journal.Written(t, r.Line(serves)).Sub(journal.Written(t, begun)))
		r.Answers(20)
		if report := r.Driver.Snapshot(); report.Refused > 0 {
			t.Fatalf("refused: %s\n%s", report, r.Output(60))
		}
	}
	r.assertAlone()
	report := r.finishAfterCrash()
	slices.Sort(gaps)
	slices.Sort(starts)
	t.Logf("%d deaths: from kill to first answer median %s, max %s; of it the service's own start median %s; %d requests, %d refused, %d lost in crashes, %d unwritten",
		len(gaps), gaps[len(gaps)/2], gaps[len(gaps)-1], starts[len(starts)/2], report.Requests, report.Refused, report.LostInCrash, report.Unwritten)
	r.upgrades()
}

// moments of a handover, by what is said at each.
var moments = map[string]string{
	"when the successor is started":     launched,
	"when the successor is offered":     "event=OFFER to=preparing",
	"when the successor checks itself":  `event="Run called" to=checking`,
	"when the successor is ready":       "from=awaiting event=READY",
	"when the handover is committed":    "event=IMPORTED to=committed",
	"on probation":                      "event=SERVING to=probation",
	"when the handover is final":        succeeded,
	"when the successor is taken back":  "event=RETURN to=reclaiming",
	"when the incumbent has taken back": "event=RETURNED to=serving",
}

// TestKilledDuringAHandoverTheServiceGoesOn kills the incumbent, the successor, or both at moments of a handover. Nobody is
// refused, nothing is lost but what the killed had accepted, and the keeper upgrades the service afterwards.
func TestKilledDuringAHandoverTheServiceGoesOn(t *testing.T) {
	t.Parallel()
	for moment, line := range moments {
		for _, victim := range []string{"incumbent", "successor", "both"} {
			t.Run(victim+" "+moment, func(t *testing.T) {
				t.Parallel()
				r := start(t, kept{env: []string{"HANDOVER_PROBATION=500ms"}, flags: []string{"-steady", "1ms"}}).drive()
				returns := strings.Contains(moment, "back")
				if returns {
					r.swap(rig.Build(t, "failing"))
				}
				begun, proves, comes := r.WatchFor(launched), r.WatchFor(proving), r.WatchFor(line)
				pids := map[string]int{"incumbent": r.PID()}
				if returns { // probation is held until it is asked to fail
					r.asksTo(watched).says(wire.VoteHold, "")
				} else {
					r.Signal(r.keeper, syscall.SIGUSR2)
				}
				pids["successor"] = journal.Number(t, r.Line(begun), "pid")
				if returns {
					r.Line(proves)
					r.get("/?id=fail")
				}
				r.Line(comes)
				for who, pid := range pids {
					if who == victim || victim == "both" {
						r.strike(pid)
					}
				}
				r.swap(rig.Build(t, ""))
				r.Answers(20)
				if report := r.Driver.Snapshot(); report.Refused > 0 {
					t.Errorf("refused: %s", report)
				}
				r.settled()
				r.upgradesSoon()
				r.finishAfterCrash()
				r.assertAlone()
			})
		}
	}
}

// TestServiceWhoseOnlySuccessorHangsIsStartedAgain kills the incumbent while the successor does not become ready: when it has had
// the time to, it is killed, and the build that served is started again.
func TestServiceWhoseOnlySuccessorHangsIsStartedAgain(t *testing.T) {
	t.Parallel()
	r := start(t, kept{env: []string{"HANDOVER_READY_TIMEOUT=4s"}}).drive()
	incumbent := r.PID()
	r.swap(rig.Build(t, "hang"))
	adopts, starting := r.WatchFor("event=OFFER to=preparing"), r.WatchFor(runs)
	replies := r.asking(&wire.Upgrade{})
	r.Line(adopts)
	r.kill(incumbent)
	r.Line(starting)
	r.Answers(20)
	if reply := <-replies; reply == nil || reply.Outcome != "aborted" || !strings.Contains(reply.Error, "the service has died") {
		t.Errorf("reply %+v", reply)
	}
	r.settled()
	if report := r.finishAfterCrash(); report.Refused > 0 {
		t.Errorf("refused: %s", report)
	}
	r.upgrades()
}

// strike kills a process if it lives still: a generation that has handed over may end just now.
func (r *run) strike(pid int) {
	r.t.Helper()
	if at, sent := r.sends(pid, syscall.SIGKILL); sent {
		r.AwaitExit(pid)
		r.Driver.Killed(pid, at)
	}
}

// sends sends a signal to a process of the service, if it lives still, and tells the instant before.
func (r *run) sends(pid int, signal syscall.Signal) (at time.Time, sent bool) {
	r.t.Helper()
	for _, p := range r.Family() {
		if p.PID == pid && p.State != "Z" {
			at = time.Now() // not before the search: it takes its time on a busy machine
			return at, syscall.Kill(pid, signal) == nil
		}
	}
	return at, false
}

// upgradesSoon upgrades the service, as soon as what is under way is over.
func (r *run) upgradesSoon() {
	r.t.Helper()
	r.Eventually("a handover that is final", func() (any, bool) {
		reply := r.ask(&wire.Upgrade{})
		if reply.Outcome != "final" && reply.Code != wire.CodeBusy && reply.Code != wire.CodeDenied {
			r.t.Fatalf("reply %+v\n%s", reply, r.Output(80))
		}
		return reply, reply.Outcome == "final"
	})
}
