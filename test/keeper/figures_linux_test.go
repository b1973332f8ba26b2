package keeper

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
)

// What a keeper may cost, without the race detector.
const (
	mostMemory  = 8 << 10 // KiB of its own, after twenty upgrades
	mostWakeUps = 50      // in five seconds in which nothing happens: the Go runtime has some of its own now and then
	idleWindows = 4       // of five seconds: what a timer or ticker of the keeper's costs it costs in each of them
)

// TestKeeperCostsLittle measures the smallest keeper there is: what it has of memory after twenty upgrades, and how often it wakes up
// when there is nothing to do.
func TestKeeperCostsLittle(t *testing.T) {
	r := start(t, kept{
		keeper: handovertest.Build(t, "github.com/handover-go/handover/examples/keeper", "-race=false"),
		env:    []string{"STATE_DIRECTORY=" + t.TempDir(), "HANDOVER_PROBATION=10ms"},
	})
	for range 20 {
		r.upgradesSoon()
	}
	r.assertAlone()
	wakeUps := r.wakeUps()
	for range idleWindows - 1 {
		if wakeUps > mostWakeUps {
			wakeUps = min(wakeUps, r.wakeUps())
		}
	}
	memory := r.figure(fmt.Sprintf("/proc/%d/status", r.keeper), "RssAnon")
	t.Logf("%d KiB of its own memory after 20 upgrades, %d wake-ups in 5 s without events", memory, wakeUps)
	if memory > mostMemory {
		t.Errorf("%d KiB of its own memory, want at most %d", memory, mostMemory)
	}
	if wakeUps > mostWakeUps {
		t.Errorf("%d wake-ups in 5 s, want at most %d", wakeUps, mostWakeUps)
	}
}

// wakeUps is how often the keeper wakes up in five seconds.
func (r *run) wakeUps() int {
	r.t.Helper()
	before := r.switches()
	idle := time.NewTimer(5 * time.Second)
	<-idle.C
	return r.switches() - before
}

// switches is how often the threads of the keeper have gone to sleep.
func (r *run) switches() (n int) {
	r.t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", r.keeper))
	must(r.t, err)
	for _, task := range tasks {
		n += r.figure(task, "voluntary_ctxt_switches")
	}
	return n
}

// figure is a number in proc_pid_status(5).
func (r *run) figure(path, name string) int {
	r.t.Helper()
	status, err := os.ReadFile(path)
	must(r.t, err)
	found := regexp.MustCompile(`(?m)^` + name + `:\s+(\d+)`).FindSubmatch(status)
	if found == nil {
		r.t.Fatalf("no %s in %s:\n%s", name, path, status)
	}
	n, err := strconv.Atoi(string(found[1]))
	must(r.t, err)
	return n
}
