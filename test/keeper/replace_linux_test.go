package keeper

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/internal/wire"
)

// TestKeeperIsReplacedUnderLoadAndNobodyNotices has the keeper execute its next build, ten times, between upgrades of the service. It is
// the same process, and holds what it held.
func TestKeeperIsReplacedUnderLoadAndNobodyNotices(t *testing.T) {
	t.Parallel()
	r := start(t, kept{}).drive()
	same := func() {}
	for i := range 10 {
		r.renew()
		if reply := r.ask(&wire.Upgrade{Keeper: true}); reply.Outcome != "final" || reply.Error != "" || reply.PID != r.keeper {
			t.Fatalf("replacement %d: %+v, want it final, in process %d", i+1, reply, r.keeper)
		}
		if i == 0 {
			same = r.sameDescriptors()
		}
		r.upgrades()
	}
	same()
	r.assertAlone()
	handovertest.AssertNothingLost(t, r.load.Snapshot())

	// The listeners are held still, and the death of a generation that an earlier program started is noticed.
	r.kill(r.PID())
	r.answers()
	if report := r.finishAfterCrash(); report.Refused > 0 {
		t.Errorf("refused: %s", report)
	}
}

// TestKeeperThatCannotGoOnIsNotExecuted leaves the keeper as it was, and the service too.
func TestKeeperThatCannotGoOnIsNotExecuted(t *testing.T) {
	t.Parallel()
	r := start(t, kept{}).drive()
	good := handovertest.Build(t, "./keep")
	file := func(content []byte) string {
		path := filepath.Join(t.TempDir(), "next")
		must(t, os.WriteFile(path, content, 0o755))
		return path
	}
	whole, err := os.ReadFile(good)
	must(t, err)
	for what, next := range map[string]string{
		"a text file":            file([]byte("no keeper")),
		"an empty one":           file(nil),
		"one that is cut short":  file(whole[:len(whole)/2]),
		"a program that is none": handovertest.Build(t, "./sick"),
	} {
		r.renew()
		r.Swap(next)
		reply := r.ask(&wire.Upgrade{Keeper: true})
		if reply.Outcome != "aborted" || reply.Code != wire.CodeVerification || reply.Error == "" {
			t.Errorf("%s: %+v, want it aborted by verification", what, reply)
		}
		r.upgrades()
	}
	r.Swap(good)
	if reply := r.ask(&wire.Upgrade{Keeper: true}); reply.Outcome != "final" {
		t.Errorf("a good build after bad ones: %+v", reply)
	}
	r.upgrades()
	handovertest.AssertNothingLost(t, r.finish())
}
