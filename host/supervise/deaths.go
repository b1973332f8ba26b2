package supervise

import (
	"fmt"

	"github.com/handover-go/handover/host/service"
)

// enoughDeaths are for whoever waits for a service to start: by chance it dies once. The keeper goes on for longer (keeper.Config.Restarts).
const enoughDeaths = 3

// deaths counts those of a service, by what its keepers say: each counts from its own beginning.
type deaths struct{ keeper, seen, count int }

// before leaves out what there was until now.
func (d *deaths) before(s *service.Status) {
	d.with(s)
	d.count = 0
}

// with returns how many there were by now.
func (d *deaths) with(s *service.Status) int {
	if s == nil || s.Keeper == nil {
		return d.count
	}
	if k := s.Keeper; k.PID != d.keeper {
		d.keeper, d.seen = k.PID, 0
	}
	d.count += max(s.Keeper.Restarts-d.seen, 0)
	d.seen = s.Keeper.Restarts
	return d.count
}

// died tells of the last death, in the keeper's words; empty if there was none.
func died(s *service.Status) string {
	if s == nil || s.Keeper == nil || s.Keeper.Restarts == 0 || s.Keeper.Last == "" {
		return ""
	}
	times := "once"
	if n := s.Keeper.Restarts; n > 1 {
		times = fmt.Sprintf("%d times", n)
	}
	return fmt.Sprintf("it has died %s since its keeper began; the last: %s", times, s.Keeper.Last)
}
