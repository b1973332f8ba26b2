package lifecycle

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover"
	"github.com/handover-go/handover/test/internal/client"
	"github.com/handover-go/handover/test/internal/control"
	"github.com/handover-go/handover/test/internal/rig"
)

// asked is what Upgrade answered: see control in the service.
type asked struct {
	Result handover.Result
	Error  string
	Is     []string
}

// upgradeOn has the process behind a connection call Upgrade.
func (r *run) upgradeOn(c *client.Conn, query string) func() asked {
	c.Ask("/upgrade" + query)
	return func() asked {
		r.t.Helper()
		return object[asked](r.t, c.Answer())
	}
}

// want checks the error: all of the sentinels that it is, and what its text has to say.
func (a asked) want(t *testing.T, sentinels []string, texts ...string) {
	t.Helper()
	slices.Sort(a.Is)
	if !slices.Equal(a.Is, sentinels) {
		t.Errorf("the error %q is %q, want %q", a.Error, a.Is, sentinels)
	}
	for _, text := range texts {
		if !strings.Contains(a.Error, text) {
			t.Errorf("the error %q does not say %q", a.Error, text)
		}
	}
}

func TestUpgradeAnswersFinalWithWhoServes(t *testing.T) {
	t.Parallel()
	r := start(t)
	a := r.upgradeOn(r.dial(), "")()
	a.want(t, nil)
	res := a.Result
	if res.Attempt != 1 || res.Outcome != handover.Final || res.Generation != 2 || res.PID != r.PID() || res.LostConnections != 0 {
		t.Errorf("result %+v, want attempt 1 final, generation 2 in process %d", res, r.PID())
	}
	if !strings.HasPrefix(res.Build, "github.com/handover-go/handover/test/service") {
		t.Errorf("build %q", res.Build)
	}
	if probation := 100 * time.Millisecond; res.Switch <= 0 || res.Ready <= res.Switch || res.Total < res.Ready+res.Switch+probation {
		t.Errorf("ready in %s, switch %s, total %s: want the first longer than the second, and in total both and probation, %s",
			res.Ready, res.Switch, res.Total, probation)
	}
}

func TestUpgradeAnswersAbortedWithTheReason(t *testing.T) {
	t.Parallel()
	r := start(t)
	incumbent := r.PID()
	for i, bad := range []struct{ flaw, reason string }{{"exit", "exit status 1"}, {"check", "this build does not feel well"}} {
		r.Swap(rig.Build(t, bad.flaw))
		a := r.upgradeOn(r.dial(), "")()
		a.want(t, []string{"ErrAborted"}, bad.reason)
		if res := a.Result; res.Attempt != i+1 || res.Outcome != handover.Aborted || res.Generation != 1 || res.PID != incumbent {
			t.Errorf("result %+v, want attempt %d aborted, generation 1 in process %d", res, i+1, incumbent)
		}
	}
	r.upgrades()
}

func TestUpgradeAnswersResumedWithTheReason(t *testing.T) {
	t.Parallel()
	r := start(t, "HANDOVER_PROBATION=10s")
	incumbent := r.PID()
	r.Swap(rig.Build(t, "crash"))
	serves := r.WatchFor(proving)
	answer := r.upgradeOn(r.dial(), "")
	r.Line(serves)
	lost := r.dial() // a connection that the successor takes with it
	lost.Ask("/")
	lost.Answer()
	lost.StaysOpen(1500 * time.Millisecond) // a sign of life, every half second, tells of it
	lost.Send("%s", strings.Repeat(client.Request("/"), 9))
	a := answer()
	a.want(t, []string{"ErrResumed"}, "exit status 3")
	if res := a.Result; res.Attempt != 1 || res.Outcome != handover.Resumed || res.Generation != 1 || res.PID != incumbent || res.LostConnections != 1 {
		t.Errorf("result %+v, want attempt 1 resumed, generation 1 in process %d, 1 connection lost", res, incumbent)
	}
}

func TestUpgradeAnswersTheNumberOfTheOneUnderWay(t *testing.T) {
	t.Parallel()
	r := start(t, "HANDOVER_READY_TIMEOUT=3s")
	r.Swap(rig.Build(t, "hang"))
	began := r.WatchFor(begun)
	first := r.upgradeOn(r.dial(), "")
	r.Line(began)
	second := r.upgradeOn(r.dial(), "")()
	second.want(t, []string{"ErrInProgress"}, "attempt 1")
	if second.Result.Attempt != 1 {
		t.Errorf("result %+v, want attempt 1", second.Result)
	}
	first().want(t, []string{"ErrAborted"}, "the successor was not ready in time")
	r.upgrades()
}

// TestUpgradeOnProbationAnswersTheNumberOfTheOneUnderWay asks the successor, which answers new connections by then.
func TestUpgradeOnProbationAnswersTheNumberOfTheOneUnderWay(t *testing.T) {
	t.Parallel()
	r := start(t, "HANDOVER_PROBATION=3s")
	serves, final := r.WatchFor(proving), r.WatchFor(succeeded)
	r.begin()
	r.Line(serves)
	a := r.upgradeOn(r.dial(), "")()
	a.want(t, []string{"ErrInProgress"}, "attempt 1")
	if a.Result.Attempt != 1 {
		t.Errorf("result %+v, want attempt 1", a.Result)
	}
	r.Line(final)
}

// TestUpgradeGoesOnWithoutWhoAsked ends the context of Upgrade before the handover.
func TestUpgradeGoesOnWithoutWhoAsked(t *testing.T) {
	t.Parallel()
	r := start(t, "HANDOVER_PROBATION=500ms")
	final := r.WatchFor(succeeded)
	r.upgradeOn(r.dial(), "?ms=1")().want(t, []string{"DeadlineExceeded"})
	r.Line(final)
}

func TestUpgradeIsNotReadyWhereAnotherServesOrNobodyWill(t *testing.T) {
	t.Parallel()
	r := start(t)
	draining := r.upgradeOn(r.dial(), "?when=draining")
	r.Upgrade(1)
	draining().want(t, []string{"ErrNotReady"}, "state draining")
	ending := r.upgradeOn(r.dial(), "?when=draining")
	r.get("/") // the request above is with its handler
	r.Signal(r.PID(), syscall.SIGTERM)
	ending().want(t, []string{"ErrNotReady"}, "state ending")
}

func TestUpgradeIsRefusedBeyondMaxDraining(t *testing.T) {
	t.Parallel()
	r := start(t, "HANDOVER_MAX_DRAINING=1")
	first, stays := r.PID(), r.dial()
	stays.Ask("/slow?ms=30000")
	r.get("/")
	r.Upgrade(1)
	a := r.upgradeOn(r.dial(), "")()
	a.want(t, []string{"ErrTooManyDraining"}, "generation 1 (pid "+itoa(first)+")")
	if a.Result.Attempt != 0 {
		t.Errorf("result %+v: no attempt was begun", a.Result)
	}
	gone := r.WatchFor(`msg="draining generation is gone"`, " pid="+itoa(first)+" ")
	stays.Close()
	r.AwaitExit(first)
	r.Line(gone)
	r.upgrades()
}

// TestHandoversCanBeSwitchedOff has HANDOVER=off: a service like any other, that no signal ends by mistake.
func TestHandoversCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	r := start(t, "HANDOVER=off", "HANDOVER_NAME=shop", "HANDOVER_RUNTIME_DIR="+control.Dir(t)).drive()
	incumbent := r.PID()
	r.upgradeOn(r.dial(), "")().want(t, []string{"ErrDisabled"}, "HANDOVER=off")
	w := r.WatchFor(refused)
	r.Signal(incumbent, syscall.SIGUSR2)
	wantReason(t, r.Line(w), refused, "HANDOVER=off")
	r.AssertServes(incumbent)
	r.Finish()
	r.assertAlone(incumbent)
}
