package observe

import (
	"context"
	"sync"
	"time"

	"github.com/handover-go/handover/host/judge"
)

// defaultInterval is the time between the end of one run of a check and the beginning of the next.
const defaultInterval = 5 * time.Second

// Probe is a check that is run again and again.
type Probe struct {
	Check    Check
	Interval time.Duration // from the end of one run to the beginning of the next. Default 5 s
	Failures int           // in a row, that fail a release; 0: as the policy says
}

// Watch runs all probes at the same time, each at once and then at its interval, until ctx ends. Each outcome is given to deliver, one
// at a time; while deliver is busy, probes that have an outcome wait. A run that the end of ctx has cut short has none. Watch returns
// when every probe has ended; without a probe, at once.
func Watch(ctx context.Context, probes []Probe, deliver func(judge.Check)) {
	outcomes := make(chan judge.Check)
	var running sync.WaitGroup
	for _, p := range probes {
		running.Go(func() { p.repeat(ctx, outcomes) })
	}
	go func() {
		running.Wait()
		close(outcomes)
	}()
	for o := range outcomes {
		deliver(o)
	}
}

// repeat runs the check until ctx ends.
func (p Probe) repeat(ctx context.Context, outcomes chan<- judge.Check) {
	interval := p.Interval
	if interval == 0 {
		interval = defaultInterval
	}
	for {
		o := p.Check.Run(ctx)
		o.Failures = p.Failures
		if ctx.Err() != nil {
			return
		}
		select {
		case outcomes <- o:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(interval):
		case <-ctx.Done():
			return
		}
	}
}
