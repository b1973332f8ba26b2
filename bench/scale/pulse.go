package main

import (
	"bufio"
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"
)

// pulse asks a service at a steady rate, whatever it answers: latencies count from the instant at which a request was due (Gil
// Tene, "How NOT to Measure Latency").
type pulse struct {
	cancel context.CancelFunc
	wait   sync.WaitGroup

	mu    sync.Mutex
	beats []beat
	errs  []error
}

type beat struct {
	due  time.Time
	took time.Duration
}

// startPulse has each of these clients ask that often a second. It closes them.
func startPulse(ctx context.Context, all []*client, rate int) *pulse {
	ctx, cancel := context.WithCancel(ctx)
	p := &pulse{cancel: cancel}
	for i, c := range all {
		period := time.Second / time.Duration(rate)
		first := time.Now().Add(period * time.Duration(i) / time.Duration(len(all)))
		p.wait.Go(func() {
			err := errors.Join(p.beat(ctx, c, first, period), c.close())
			if err != nil {
				p.mu.Lock()
				p.errs = append(p.errs, err)
				p.mu.Unlock()
			}
		})
	}
	return p
}

func (p *pulse) beat(ctx context.Context, c *client, due time.Time, period time.Duration) error {
	next := time.NewTimer(time.Until(due))
	defer next.Stop()
	for {
		select {
		case <-next.C:
		case <-ctx.Done():
			return nil
		}
		if err := c.ask([]byte(small)); err != nil {
			return err
		}
		p.mu.Lock()
		p.beats = append(p.beats, beat{due, time.Since(due)})
		p.mu.Unlock()
		due = due.Add(period)
		next.Reset(time.Until(due))
	}
}

// stop ends the asking, and returns what went wrong.
func (p *pulse) stop() error {
	p.cancel()
	p.wait.Wait()
	return errors.Join(p.errs...)
}

// within returns how long those requests took that were due from one instant to the other.
func (p *pulse) within(from, to time.Time) (took []time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.beats {
		if !b.due.Before(from) && b.due.Before(to) {
			took = append(took, b.took)
		}
	}
	return took
}

func quantile(took []time.Duration, q float64) time.Duration {
	if len(took) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(took))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// askOn sends one request, and reads its answer, with which the connection does not end.
func askOn(c net.Conn, in *bufio.Reader) error {
	last, err := exchange(c, in, []byte(small))
	if err == nil && last {
		err = errors.New("asked to leave")
	}
	return err
}
