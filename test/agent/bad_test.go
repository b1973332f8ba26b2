//go:build linux

package agent

import (
	"os"
	"strings"
	"testing"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/host/control"
	"github.com/handover-go/handover/test/internal/count"
)

// crowd is a little of everything.
var crowd = handovertest.Clients{KeepAlive: 4, New: 3, Slow: 1, Pipelined: 1, Idle: 1}

// TestGoodReleaseIsKeptWithNothingLost is an upgrade as it should be.
func TestGoodReleaseIsKeptWithNothingLost(t *testing.T) {
	t.Parallel()
	h, address, _ := newShop(t, "probation: 500ms, bake: 3s, drain_timeout: 10s")
	load := h.drive(address, crowd)
	u := h.upgrade("shop", control.UpgradeRequest{Source: h.release("shop", "1.1.0", "")})
	if u.State != "kept" {
		t.Errorf("%s", asJSON(u))
	}
	handovertest.AssertNothingLost(t, load.Stop())
	if s := h.awaits("shop", "running"); s.Version != "1.1.0" {
		t.Errorf("version %q serves", s.Version)
	}
}

// TestReleaseThatTurnsBadIsTakenBack three seconds after its commit, which is long after its probation: by four flaws, or all with HANDOVER_COUNT=full.
func TestReleaseThatTurnsBadIsTakenBack(t *testing.T) {
	t.Parallel()
	flaws := []struct{ flaw, evidence string }{
		{"errors", "errors"}, {"slow", "latency"}, {"leak", "rss"}, {"fatal", "restarts"}, {"crash", "restarts"}, {"sick", "check http"},
	}
	for _, c := range flaws[:count.Of(4, len(flaws))] {
		t.Run(c.flaw, func(t *testing.T) {
			t.Parallel()
			h, address, _ := newShop(t, "probation: 500ms, bake: 30s, drain_timeout: 10s, rss: {ratio: 1.5}, latency: {warmup: 100ms}")
			load := h.drive(address, crowd)
			must(t, load.WaitAnswers(h.ctx, 1500)) // the incumbent's own, to be compared with
			now := h.path("now")
			u, err := h.client.Upgrade(h.ctx, "shop", control.UpgradeRequest{Source: h.release("shop", "1.1.0", c.flaw+" 3s "+now)})
			must(t, err)
			h.awaits("shop", "baking")
			must(t, os.WriteFile(now, nil, 0o644))
			u = h.await(u)
			if u.State != "returned" || !strings.Contains(asJSON(u.Evidence), `"test": "`+c.evidence+`"`) || u.Reason == "" {
				t.Errorf("%s", asJSON(u))
			}
			t.Logf("%s after %s: %s", u.State, u.Ended.Sub(u.Began), u.Reason)
			must(t, load.WaitAnswers(h.ctx, 50))
			report := load.Stop()
			if report.Refused > 0 {
				t.Errorf("%d refused: %s", report.Refused, report)
			}
			if s := h.awaits("shop", "running"); s.Version != "1.0.0" {
				t.Errorf("version %q serves", s.Version)
			}
			history, err := h.client.History(h.ctx, "shop", 1)
			if err != nil || len(history) != 1 || history[0].Reason != u.Reason || len(history[0].Evidence) == 0 {
				t.Errorf("history: %v, %s", err, asJSON(history))
			}
		})
	}
}
