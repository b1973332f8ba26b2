package keeper

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/handover-go/handover"
	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/test/internal/count"
	"github.com/handover-go/handover/test/internal/journal"
	"github.com/handover-go/handover/test/internal/rig"
)

// asked is what Process.Upgrade answered: see control in the service.
type asked struct {
	Result handover.Result
	Error  string
	Is     []string
}

func (r *run) upgradeByCall() asked {
	r.t.Helper()
	return object[asked](r.t, r.get("/upgrade"))
}

func object[T any](t *testing.T, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("answer %q: %v", text, err)
	}
	return v
}

// TestKeptServiceIsUpgradedAndLosesNothing upgrades again and again, under load, in each way to ask for it. Generations are numbered one
// by one, and the keeper is left as it was: with as many descriptors and goroutines, and one child.
func TestKeptServiceIsUpgradedAndLosesNothing(t *testing.T) {
	t.Parallel()
	r := start(t, kept{}).drive()
	ways := []func(){
		func() { r.Signal(r.keeper, syscall.SIGUSR2) },
		func() { r.Signal(r.PID(), syscall.SIGUSR2) },
		func() {
			if a := r.upgradeByCall(); a.Error != "" || a.Result.Outcome != handover.Final {
				t.Errorf("Upgrade answers %+v, want it final", a)
			}
		},
		func() {
			if reply := r.ask(&wire.Upgrade{}); reply.Outcome != "final" || reply.Error != "" || reply.PID != r.PID() {
				t.Errorf("reply %+v, want it final, and process %d", reply, r.PID())
			}
		},
	}
	var same []func()
	for i := range count.Of(20, 200) {
		if i == len(ways) { // every way has cost what it costs once
			r.assertAlone()
			same = []func(){r.sameDescriptors(), r.sameGoroutines()}
		}
		r.Renew()
		w, knows := r.WatchFor(over), r.WatchFor(succeeded)
		ways[i%len(ways)]()
		line := r.Line(w)
		r.wantFinal(line)
		r.Line(knows) // until then the successor says that a handover is under way
		if journal.Number(t, line, "attempt") != i+1 || journal.Number(t, line, "generation") != i+2 {
			t.Fatalf("%q, want attempt %d and generation %d", line, i+1, i+2)
		}
	}
	r.assertAlone()
	for _, f := range same {
		f()
	}
	report := r.Finish()
	t.Logf("%d upgrades, %d requests, longest gap %s, latency max %s", count.Of(20, 200), report.Requests, report.LongestGap, report.Latency.Max)
}

// TestUpgradeIsAnsweredByItsOwnEnd has the service ask for upgrades that fail one straight after the other: none is answered with the
// end of the one before.
func TestUpgradeIsAnsweredByItsOwnEnd(t *testing.T) {
	t.Parallel()
	r := start(t, kept{})
	r.swap(rig.Build(t, "exit"))
	c := r.dial()
	for i := range 10 {
		c.Ask("/upgrade")
		a := object[asked](t, c.Answer())
		if slices.Contains(a.Is, "ErrInProgress") {
			t.Logf("%+v", a)
		}
		if a.Result.Attempt != i+1 || !slices.Contains(a.Is, "ErrAborted") || !strings.Contains(a.Error, "the successor ended before it was ready") {
			t.Fatalf("Upgrade %d answers %+v", i+1, a)
		}
	}
	r.upgrades()
}

// sameDescriptors remembers how many descriptors the keeper has, and returns a check that it has no more.
func (r *run) sameDescriptors() (same func()) {
	r.t.Helper()
	return r.counted("descriptors", func() int {
		n, err := handovertest.OpenFDs(r.keeper)
		must(r.t, err)
		return n
	})
}

// sameGoroutines does so for goroutines.
func (r *run) sameGoroutines() (same func()) {
	r.t.Helper()
	return r.counted("goroutines", func() int {
		said := r.WatchFor("msg=goroutines", journal.By(r.keeper))
		r.Signal(r.keeper, syscall.SIGPWR)
		return journal.Number(r.t, r.Line(said), "count")
	})
}

// counted remembers a number once it is the same twice: a connection that was closed just now may not be gone yet, so that later there may be
// fewer.
func (r *run) counted(what string, count func() int) (same func()) {
	r.t.Helper()
	before := -1
	r.Eventually("a settled number of "+what, func() (any, bool) {
		n := count()
		settled := n == before
		before = n
		return n, settled
	})
	return func() {
		r.t.Helper()
		r.Eventually("no more "+what+" than before", func() (any, bool) {
			n := count()
			if n > before {
				return fmt.Sprintf("%d, before %d", n, before), false
			}
			return n, true
		})
	}
}
