package keeper

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/internal/wire"
)

// TestKeeperIsReplacedUnderLoadAndNobodyNotices has the keeper execute its next build, ten times, between upgrades of the service. It is
// the same process, and holds what it held: where builds cannot be kept, their open files too, which services do not get.
func TestKeeperIsReplacedUnderLoadAndNobodyNotices(t *testing.T) {
	t.Parallel()
	for name, state := range map[string]string{"a directory": "", "files are held": "/dev/null/state"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			replaceKeeper(t, state)
		})
	}
}

func replaceKeeper(t *testing.T, state string) {
	r := start(t, kept{state: state}).drive()
	same := func() {}
	for i := range 10 {
		r.Renew()
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
	r.assertNoProgramIsOpen()
	handovertest.AssertNothingLost(t, r.Driver.Snapshot())

	// The listeners are held still, and the death of a generation that an earlier program started is noticed.
	r.kill(r.PID())
	r.Answers(20)
	if report := r.finishAfterCrash(); report.Refused > 0 {
		t.Errorf("refused: %s", report)
	}
}

// assertNoProgramIsOpen looks through the descriptors of the generation that serves.
func (r *run) assertNoProgramIsOpen() {
	r.t.Helper()
	open, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", r.PID()))
	must(r.t, err)
	for _, fd := range open {
		if info, err := os.Stat(fd); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 && info.Size() > 0 { // not a pidfd
			path, _ := os.Readlink(fd)
			r.t.Errorf("descriptor %s of the service is the program %s", filepath.Base(fd), path)
		}
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
		r.Renew()
		r.Swap(next)
		said := r.WatchFor(over)
		reply := r.ask(&wire.Upgrade{Keeper: true})
		r.Line(said)
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
	handovertest.AssertNothingLost(t, r.Finish())
}
