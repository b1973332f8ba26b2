//go:build debian

package zoo

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/handover-go/handover/test/internal/count"
)

// upgrades is how many handovers a test under load does.
func upgrades() int { return count.Of(50, 200) }

// everybody has clients of every kind join, and waits until each has been answered.
func (z *cage) everybody() (*crowd, *wrk, *datagrams) {
	z.t.Helper()
	c := newCrowd(z)
	z.curl(c)
	z.h2load(c)
	z.grpcClient(c)
	z.sessions(c, 3)
	w, d := z.wrk(), z.datagrams()
	c.answered(z)
	return c, w, d
}

// TestFiftyUpgradesOfTheZooLoseNothing: no request, no connection that can live on, no message and no datagram.
func TestFiftyUpgradesOfTheZooLoseNothing(t *testing.T) {
	z := start(t, "--probation", "100ms", "--max-draining", "20")
	z.widen()
	c, w, d := z.everybody()
	first, began := z.PID(), time.Now()
	for i := range upgrades() {
		knows := z.WatchFor(succeeded)
		ctx, cancel := context.WithTimeout(z.ctx, soon)
		o, err := z.upgrade(ctx)
		cancel()
		if err != nil || o.code != 0 || o.Outcome != "final" || o.Generation != i+2 {
			t.Fatalf("upgrade %d: %+v, %v, want it final", i+1, o, err)
		}
		z.Line(knows) // until then the successor says that a handover is under way
		if lost := c.lost(); len(lost) > 0 {
			t.Fatalf("in upgrade %d: %v\n%s", i+1, lost, z.Output(80))
		}
	}
	took := time.Since(began)
	z.AwaitExit(first)
	c.answered(z)
	w.stop()
	c.left()
	if lost := d.finish(z); len(lost) > 0 {
		t.Errorf("datagrams %v were not answered, and those of the control run were", lost)
	}
	if turns := d.zoo.turns(d.sent); !slices.IsSorted(turns) {
		t.Errorf("datagrams were read by generations %v: they go back", turns)
	}
	c.nothingLost()
	c.report()
	z.alone()
	t.Logf("%d upgrades in %s", upgrades(), took.Round(time.Millisecond))
}
