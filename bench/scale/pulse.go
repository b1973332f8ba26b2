package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
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

// startPulse asks on that many connections, each that often a second.
func startPulse(ctx context.Context, address string, connections, rate int) (*pulse, error) {
	ctx, cancel := context.WithCancel(ctx)
	p := &pulse{cancel: cancel}
	for i := range connections {
		c, err := net.Dial("tcp", address)
		if err != nil {
			cancel()
			p.wait.Wait()
			return nil, err
		}
		period := time.Second / time.Duration(rate)
		first := time.Now().Add(period * time.Duration(i) / time.Duration(connections))
		p.wait.Go(func() {
			defer c.Close()
			err := p.beat(ctx, c, first, period)
			if ctx.Err() == nil {
				p.mu.Lock()
				p.errs = append(p.errs, err)
				p.mu.Unlock()
			}
		})
	}
	return p, nil
}

func (p *pulse) beat(ctx context.Context, c net.Conn, due time.Time, period time.Duration) error {
	in := bufio.NewReader(c)
	next := time.NewTimer(time.Until(due))
	defer next.Stop()
	for {
		select {
		case <-next.C:
		case <-ctx.Done():
			return nil
		}
		if err := askOn(c, in); err != nil {
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

// askOn sends one request, and reads its answer.
func askOn(c net.Conn, in *bufio.Reader) error {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, "GET /?id=scale HTTP/1.1\r\nHost: scale\r\n\r\n"); err != nil {
		return err
	}
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || resp.Close {
		return fmt.Errorf("answered %s, Connection: close %t", resp.Status, resp.Close)
	}
	return nil
}
