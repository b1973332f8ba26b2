//go:build linux

package strain

import (
	"testing"
	"time"

	"github.com/handover-go/handover/test/internal/relay"
	"github.com/handover-go/handover/test/internal/rig"
)

// TestUpgradesBehindANetworkThatJittersLoseNothing: all that clients and service say to each other arrives after 5 to 50 ms, so that
// requests, answers and ends are on their way at any moment of a handover.
func TestUpgradesBehindANetworkThatJittersLoseNothing(t *testing.T) {
	t.Parallel()
	const upgrades = 12
	const least, most = 5 * time.Millisecond, 50 * time.Millisecond
	var between *relay.Relay
	r := start(t, rig.Build(t, ""), func(address string) string {
		between = relay.Start(t, address, least, most)
		return between.Address()
	})
	if final := r.attempts(upgrades, r.pause(10*time.Millisecond)); final != upgrades {
		t.Errorf("%d of %d upgrades were final", final, upgrades)
	}
	report := r.finish()
	if len(report.ByGeneration) != upgrades+1 {
		t.Errorf("answers of generations %v; want of each of %d", report.ByGeneration, upgrades+1)
	}
	if report.Latency.P50 < 2*least {
		t.Errorf("half of the requests took less than %s: they came another way", report.Latency.P50)
	}
	bytes, pieces, late := between.Carried()
	t.Logf("%d bytes in %d pieces, each %s late", bytes, pieces, late.Round(time.Millisecond))
}

// pause returns a function that waits for that time.
func (r *run) pause(d time.Duration) func() {
	return func() {
		select {
		case <-time.After(d):
		case <-r.Ctx.Done():
		}
	}
}
