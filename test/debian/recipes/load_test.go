//go:build debian

package recipes

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/count"
)

// Loads of strict clients: those that a program without pages of its own answers, and one that also has slow ones.
var (
	everyRequest = handovertest.Clients{KeepAlive: 4, New: 4, Dribble: 1, Idle: 2}
	slowOnesToo  = handovertest.Clients{KeepAlive: 4, New: 4, Dribble: 1, Idle: 2, Slow: 2}
)

func (k *kept) drive(clients handovertest.Clients) *handovertest.Driver {
	k.t.Helper()
	d, err := handovertest.Drive(k.ctx, handovertest.Load{
		Address: k.address, Clients: clients, Quiet: [2]time.Duration{500 * time.Millisecond, time.Second},
	})
	must(k.t, err)
	return d
}

// rounds is how many times each program is replaced in each way.
func rounds() int { return count.Of(1, 10) }

// nobodyRefused holds a load to what the keeper promises of any program.
func nobodyRefused(t *testing.T, r handovertest.Report) {
	t.Helper()
	if r.Refused > 0 || r.Wrong > 0 || r.Repeated > 0 || r.OwnFaults > 0 || r.OK == 0 {
		t.Errorf("refused, wrong or repeated: %s", r.String())
	}
}

// record shows what was lost, as a row of docs/results/recipes.md.
func record(t *testing.T, way string, n int, r handovertest.Report) {
	t.Helper()
	var kinds []string
	for kind, lost := range r.LostByKind {
		for outcome, many := range lost {
			kinds = append(kinds, fmt.Sprintf("%s %s %d", kind, outcome, many))
		}
	}
	slices.Sort(kinds)
	t.Logf("| %s | %d | %d | %d | %d | %d | %d | %s | %s |", way, n, r.OK, r.Refused, r.Failed, r.Closed, r.ClosedPolite,
		r.LongestGap.Round(time.Millisecond), strings.Join(kinds, ", "))
	for _, l := range r.Losses[:min(5, len(r.Losses))] {
		t.Log(l)
	}
}
