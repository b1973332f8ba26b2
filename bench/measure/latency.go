// Package measure holds what every subject is measured with.
package measure

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Window is the time after the trigger of an upgrade in which a latency counts as one of the upgrade. It is the same for all.
const Window = time.Second

// Latencies keeps apart the latencies in the windows of upgrades, and those of a service that nobody disturbs. What falls
// between the end of a window and the call of Settled is neither.
type Latencies struct {
	mu       sync.Mutex
	window   *hdrhistogram.Histogram
	steady   *hdrhistogram.Histogram
	began    time.Time // of the last window; zero: none yet
	settled  bool
	resolved time.Time // from when it is settled
}

// NewLatencies begins with a service that is settled.
func NewLatencies() *Latencies {
	return &Latencies{window: histogram(), steady: histogram(), settled: true}
}

// Histograms hold microseconds, up to a minute, to three digits.
func histogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, 60_000_000, 3) }

// Disturb begins a window.
func (l *Latencies) Disturb(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.began, l.settled = at, false
}

// Settled says that the last upgrade is over.
func (l *Latencies) Settled() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settled, l.resolved = true, time.Now()
}

// Add takes the latency of a request that was due at begun.
func (l *Latencies) Add(begun time.Time, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ended := begun.Add(took)
	var to *hdrhistogram.Histogram
	switch {
	case !l.began.IsZero() && ended.After(l.began) && begun.Before(l.began.Add(Window)):
		to = l.window
	case l.settled && !begun.Before(l.resolved):
		to = l.steady
	default:
		return
	}
	_ = to.RecordValue(min(max(took.Microseconds(), 1), 60_000_000)) // within its range
}

// Split returns both histograms, of microseconds. Add must not be called any more.
func (l *Latencies) Split() (window, steady *hdrhistogram.Histogram) { return l.window, l.steady }

// Quantiles of microseconds.
func Quantiles(h *hdrhistogram.Histogram) (p50, p99, p999 time.Duration) {
	at := func(q float64) time.Duration { return time.Duration(h.ValueAtQuantile(q)) * time.Microsecond }
	return at(50), at(99), at(99.9)
}
