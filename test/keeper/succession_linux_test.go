package keeper

import (
	"testing"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/test/internal/count"
)

// TestUpgradeIsBegunAsSoonAsTheOneBeforeIsFinal asks for one straight after the other, by a load that leaves no time to anybody: the process
// that has just become the incumbent may not know it yet, and no upgrade is refused for that.
func TestUpgradeIsBegunAsSoonAsTheOneBeforeIsFinal(t *testing.T) {
	t.Parallel()
	two := version(t, "two")
	r := start(t, kept{env: []string{"HANDOVER_PROBATION=1ms"}}).drive()
	r.swap(two)
	r.asks(&wire.Upgrade{})
	for range count.Of(15, 150) {
		r.Renew()
		r.asks(&wire.Upgrade{Rollback: true})
	}
	handovertest.AssertNothingLost(t, r.Finish())
}
