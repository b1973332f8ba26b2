package main

import (
	"context"
	"testing"
	"time"

	"github.com/handover-go/handover/bench/scenario"
	"github.com/handover-go/handover/bench/subject"
)

// The proxies are left out: they are not installed everywhere.
func TestEveryLibraryIsUpgradedAndMeasured(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	builds, err := subject.Build(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range subject.All() {
		if s.Proxy {
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			r := scenario.NewResult(s)
			if err := scenario.Upgraded(ctx, builds, r, 1); err != nil {
				t.Fatal(err)
			}
			if r.Upgrades != 1 || len(r.Gone) != 1 || r.Gone[0] <= 0 || r.Single[0].Anonymous <= 0 || r.Peak[0].Proportional <= 0 {
				t.Errorf("not measured: %+v", r)
			}
			// One that is restarted may answer nobody in the whole window.
			if r.Window.TotalCount() == 0 && s.Name != subject.Plain || r.Steady.TotalCount() == 0 {
				t.Errorf("%d latencies in the window, %d steady", r.Window.TotalCount(), r.Steady.TotalCount())
			}
			if lost := r.Count("", append(failed, closed...)...); s.Ours() && (lost != 0 || len(r.Switches) != 1) {
				t.Errorf("%d lost, %d switches: %v", lost, len(r.Switches), r.Lost)
			}
		})
	}
}
