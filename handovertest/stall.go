package handovertest

import (
	"context"
	"sync/atomic"
	"time"
)

// stallTick is short against what a handover takes, and long enough not to
// load the machine.
const stallTick = 5 * time.Millisecond

// stall measures how late the driver itself is woken.
type stall struct{ longest atomic.Int64 }

// run measures until the end of ctx. It is the only writer.
func (s *stall) run(ctx context.Context) {
	timer := time.NewTimer(stallTick)
	defer timer.Stop()
	for {
		due := time.Now().Add(stallTick)
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		if late := int64(time.Since(due)); late > s.longest.Load() {
			s.longest.Store(late)
		}
		timer.Reset(stallTick)
	}
}
