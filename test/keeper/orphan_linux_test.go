package keeper

import (
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/test/internal/journal"
)

// orphan kills the keeper, and waits until the generation that serves knows.
func (r *run) orphan() {
	r.t.Helper()
	w := r.WatchFor(alone)
	r.Kill(r.keeper)
	r.Line(w)
}

// adopt starts a new keeper, and waits until it knows that the service serves.
func (r *run) adopt(flags ...string) {
	r.t.Helper()
	before, w := r.keeper, r.Watch(journal.SaysAny(known, noKeeper))
	r.another(flags...)
	if line := r.Line(w); !strings.Contains(line, known) {
		r.t.Fatalf("no new keeper: %s\n%s", line, r.Output(60))
	}
	r.settled()
	if r.keeper == before {
		r.t.Fatalf("process %d still keeps the service", before)
	}
}

// TestServiceOutlivesItsKeeperAndTakesTheNext kills the keeper, under load. The service goes on, and is upgraded without it; the
// next keeper holds its listeners, restarts what served, and upgrades it.
func TestServiceOutlivesItsKeeperAndTakesTheNext(t *testing.T) {
	t.Parallel()
	r := start(t, kept{flags: []string{"-steady", "1ms"}}).drive()
	incumbent := r.PID()
	r.orphan()
	r.AssertServes(incumbent)

	final := r.WatchFor(succeeded)
	r.Signal(incumbent, syscall.SIGUSR2)
	r.Line(final)
	if reply := r.ask(&wire.Upgrade{}); reply.Outcome != "final" || reply.Generation != 3 {
		t.Errorf("reply %+v, want generation 3 final", reply)
	}
	serving := r.PID()
	r.AssertServes(serving)

	r.adopt("-steady", "1ms")
	r.AssertServes(serving)
	r.Finish()
	r.drive()
	starting := r.WatchFor(runs)
	r.kill(serving)
	if line := r.Line(starting); journal.Attribute(line, "build") == "" {
		t.Error(line)
	}
	r.Answers(20)
	if report := r.Driver.Snapshot(); report.Refused > 0 {
		t.Errorf("refused: %s", report)
	}
	r.settled()
	r.finishAfterCrash()
	r.drive()
	for generation := 5; generation < 8; generation++ {
		line := r.upgrade()
		r.wantFinal(line)
		if journal.Number(t, line, "generation") != generation {
			t.Errorf("%q, want generation %d", line, generation)
		}
	}
	r.assertAlone()
	r.Finish()
}

// TestNextKeeperRestartsTheBuildThatServes has the file replaced before a keeper comes that never started it.
func TestNextKeeperRestartsTheBuildThatServes(t *testing.T) {
	t.Parallel()
	old, next := version(t, "old"), version(t, "new")
	r := start(t, kept{program: old, flags: []string{"-steady", "1ms"}})
	r.orphan()
	r.swap(next)
	r.adopt("-steady", "1ms")
	serving := r.PID()
	r.Eventually("the build that serves kept", func() (any, bool) {
		s := r.ask(status).Status.Keeper
		return s, s.Running != ""
	})
	serves := r.WatchFor(`msg="serving on probation" build=`)
	r.kill(serving)
	if line := r.Line(serves); journal.Attribute(line, "build") != "old" {
		t.Errorf("%q, want the build that served", line)
	}
	r.settled()
	r.wantFinal(r.upgrade())
	if reply := r.ask(&wire.Upgrade{Rollback: true}); reply.Outcome != "final" {
		t.Errorf("reply %+v", reply)
	}
	r.assertAlone()
}

// TestKeeperKilledDuringAHandover kills it at moments of a handover, and stops it: the handover ends well, and nothing is lost.
func TestKeeperKilledDuringAHandover(t *testing.T) {
	t.Parallel()
	for name, moment := range map[string]struct {
		line  string
		flags []string
	}{
		"when it has started the successor":     {launched, nil},
		"when the successor is offered":         {"event=OFFER to=preparing", nil},
		"when the successor checks itself":      {`event="Run called" to=checking`, nil},
		"when the keeper's check is awaited":    {`event="Run called" to=checking`, healthy("/?id=health")},
		"when the successor is ready":           {"from=awaiting event=READY", nil},
		"when the handover is committed":        {"event=IMPORTED to=committed", nil},
		"on probation":                          {"event=SERVING to=probation", nil},
		"on probation that the keeper prolongs": {"event=SERVING to=probation", healthy("/slow?id=check&ms=300")},
		"when it is final":                      {succeeded, nil},
	} {
		for signal, what := range map[syscall.Signal]string{syscall.SIGKILL: "killed", syscall.SIGSTOP: "stopped"} {
			t.Run(what+" "+name, func(t *testing.T) {
				t.Parallel()
				r := start(t, kept{flags: moment.flags, env: []string{"HANDOVER_PROBATION=300ms"}}).drive()
				comes := r.WatchFor(moment.line)
				// Killed before it gave the successor to the incumbent, it leaves a process that ends, and no handover.
				outcome := r.Watch(journal.SaysAny(succeeded, aborted, resumed, orphaned, `msg="service ended"`))
				ended := r.WatchFor(over)
				r.Signal(r.keeper, syscall.SIGUSR2)
				r.Line(comes)
				if signal == syscall.SIGKILL {
					r.Kill(r.keeper)
				} else {
					r.Signal(r.keeper, signal)
					still := time.NewTimer(200 * time.Millisecond)
					<-still.C
					r.Signal(r.keeper, syscall.SIGCONT)
				}
				t.Log(strings.Join(strings.Fields(r.Line(outcome))[2:], " "))
				r.Answers(20)
				if signal == syscall.SIGKILL {
					r.adoptSoon()
				} else {
					r.Line(ended) // which the next upgrade is not to take for its own
				}
				r.upgrades()
				r.Finish()
			})
		}
	}
}

// adoptSoon starts a new keeper. One that comes in the middle of a handover is turned away.
func (r *run) adoptSoon() {
	r.t.Helper()
	for {
		w := r.Watch(journal.SaysAny(known, noKeeper))
		r.another()
		line := r.Line(w)
		if strings.Contains(line, known) {
			break
		}
		if !strings.Contains(line, "busy") {
			r.t.Fatalf("no new keeper: %s\n%s", line, r.Output(60))
		}
	}
	r.settled()
}

// TestSecondKeeperIsTurnedAway starts one while the first lives: it says why, and nothing changes.
func TestSecondKeeperIsTurnedAway(t *testing.T) {
	t.Parallel()
	r := start(t, kept{}).drive()
	same, pid, w := r.sameDescriptors(), r.PID(), r.WatchFor(noKeeper)
	r.another()
	said := journal.Attribute(r.Line(w), "error")
	for _, part := range []string{`keep service "shop"`, "denied", `service "shop" has a keeper, process ` + strconv.Itoa(r.keeper)} {
		if !strings.Contains(said, part) {
			t.Errorf("it says %q, want %q", said, part)
		}
	}
	r.AssertServes(pid)
	same()
	r.upgrades()
	r.Finish()
}

// TestKeeperThatCannotBeginLeavesTheServiceWhereItIs joins a service whose keeper has died, and cannot listen where it is to: the service
// answers again, and takes the next one.
func TestKeeperThatCannotBeginLeavesTheServiceWhereItIs(t *testing.T) {
	t.Parallel()
	r := start(t, kept{}).drive()
	pid := r.PID()
	r.orphan()
	gone, again := r.WatchFor(noKeeper), r.WatchFor(alone)
	r.another("-listen", r.address) // where the service listens
	r.Line(gone)
	r.Line(again)
	r.AssertServes(pid)
	r.adopt()
	r.AssertServes(pid)
	r.upgrades()
	r.Finish()
}

// TestProcessStartedByHandCannotJoinAKeptService starts the service by hand: it says why it cannot, and nothing changes.
func TestProcessStartedByHandCannotJoinAKeptService(t *testing.T) {
	t.Parallel()
	r := start(t, kept{}).drive()
	pid, w := r.PID(), r.WatchFor(`msg="service ended"`)
	r.ByHand(pid, r.program)
	said := journal.Attribute(r.Line(w), "error")
	for _, part := range []string{"denied", `service "shop" has a keeper, process ` + strconv.Itoa(r.keeper), "ask it for an upgrade"} {
		if !strings.Contains(said, part) {
			t.Errorf("it says %q, want %q", said, part)
		}
	}
	r.AssertServes(pid)
	r.upgrades()
	r.Finish()
}
