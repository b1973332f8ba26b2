//go:build debian

package loss

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
)

// patience is long enough for a packet that is lost six times in a row: TCP begins with a second for a SYN, and doubles it (RFC 6298).
const patience = 2 * time.Minute

// TestUpgradesOverANetworkThatLosesPacketsLoseNothing: TCP sends again what is lost, and so must be left to, whichever process has the
// connection by then.
func TestUpgradesOverANetworkThatLosesPacketsLoseNothing(t *testing.T) {
	for _, percent := range []int{2, 10} {
		t.Run(fmt.Sprintf("%d of a hundred", percent), func(t *testing.T) {
			t.Parallel()
			const upgrades = 12
			address := handovertest.FreeAddress(t)
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				t.Fatal(err)
			}
			service := handovertest.Start(t, handovertest.Service{
				Path: handovertest.Build(t, "../../service"), Address: address, ReadyTimeout: patience, UpgradeTimeout: patience, StopTimeout: patience,
				Env: []string{"ADDR=" + address, "HANDOVER_PROBATION=100ms", "HANDOVER_DRAIN_TIMEOUT=" + patience.String(), "HANDOVER_MAX_DRAINING=20"},
			})
			lost := lose(t, port, percent)
			load := service.Load()
			load.Timeout = patience
			load.Quiet = [2]time.Duration{time.Second, 2 * time.Second}
			load.CountPoliteCloses = true
			ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
			defer cancel()
			driver, err := handovertest.Drive(ctx, load)
			if err != nil {
				t.Fatal(err)
			}
			for range upgrades {
				service.Upgrade(1)
				if err := driver.WaitAnswers(ctx, 50); err != nil {
					t.Fatalf("%v\n%s", err, service.Output(60))
				}
			}
			pid := service.PID()
			for _, p := range service.Family() {
				if p.PID != pid {
					service.AwaitExit(p.PID)
				}
			}
			report := driver.Stop()
			handovertest.AssertNothingLost(t, report)
			dropped, all := lost()
			t.Logf("%d of %d packets dropped, %d requests on %d connections over %d upgrades; latency p50 %s, p99 %s, max %s",
				dropped, all, report.OK, report.Connections, upgrades, report.Latency.P50, report.Latency.P99, report.Latency.Max)
			if 200*dropped < percent*all || dropped < 100 {
				t.Errorf("%d of %d packets were dropped: too few to show anything", dropped, all)
			}
		})
	}
}
