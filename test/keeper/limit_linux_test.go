package keeper

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/handover-go/handover/internal/wire"
)

// limits are those of a process, soft and hard, as the kernel has them.
func limits(t *testing.T, pid int, name string) (soft, hard string) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	must(t, err)
	for line := range strings.Lines(string(text)) {
		if values, ok := strings.CutPrefix(line, name); ok {
			fields := strings.Fields(values)
			return fields[0], fields[1]
		}
	}
	t.Fatalf("process %d has no limit %q:\n%s", pid, name, text)
	return "", ""
}

// TestLimitsAreTheServicesAlone starts, upgrades and restarts a service with limits, which its keeper does not have.
func TestLimitsAreTheServicesAlone(t *testing.T) {
	t.Parallel()
	r := start(t, kept{flags: []string{"-steady", "1ms", "-limit", "nofile=500:600", "-limit", "rttime=1000000:unlimited"}})
	_, before := limits(t, os.Getpid(), "Max open files")
	check := func() {
		t.Helper()
		if soft, hard := limits(t, r.PID(), "Max realtime timeout"); soft != "1000000" || hard != "unlimited" {
			t.Errorf("rttime %s, %s", soft, hard)
		}
		if _, hard := limits(t, r.PID(), "Max open files"); hard != "600" { // the soft one Go raises to it
			t.Errorf("nofile %s", hard)
		}
		if soft, _ := limits(t, r.keeper, "Max realtime timeout"); soft != "unlimited" {
			t.Errorf("the keeper's rttime is %s", soft)
		}
		if _, hard := limits(t, r.keeper, "Max open files"); hard != before {
			t.Errorf("the keeper's nofile is %s, before %s", hard, before)
		}
	}
	check()
	r.asks(&wire.Upgrade{})
	check()
	r.kill(r.PID())
	r.settled()
	check()
	r.upgrades()
}
