package keeper

import "time"

// backoff decides when a service that died is started again: at once the first time, then later and later, as long as it does
// not serve steadily in between.
type backoff struct {
	limit  int           // deaths in a row
	steady time.Duration // of serving, after which they are forgotten
	deaths int
}

const (
	firstDelay = 100 * time.Millisecond
	lastDelay  = 10 * time.Second
)

// died notes a death after the service had served for so long (0: it never did), and says how long to wait before the next
// start. It answers false when there is to be none.
func (b *backoff) died(served time.Duration) (delay time.Duration, again bool) {
	if served >= b.steady {
		b.deaths = 0
	}
	b.deaths++
	switch {
	case b.deaths > b.limit:
		return 0, false
	case b.deaths == 1:
		return 0, true
	}
	delay = firstDelay
	for range b.deaths - 2 {
		delay = min(2*delay, lastDelay)
	}
	return delay, true
}
