package supervise

import (
	"context"
	"sync"
	"time"

	"github.com/handover-go/handover/host/judge"
	"github.com/handover-go/handover/host/observe"
	"github.com/handover-go/handover/host/service"
)

// baselineLength is how much of the traffic before an upgrade it is compared with.
const (
	baselineLength   = 5 * time.Minute
	baselineInterval = 30 * time.Second // eight of them or more show how far requests depend on each other
)

// figures are asked of the service's library again and again.
type figures struct {
	s *Supervisor

	mu        sync.Mutex
	heard     time.Time
	pid       int // that the last figures are of
	before    judge.Traffic
	intervals []judge.Traffic
}

// of asks for the figures of a process.
func (f *figures) of(ctx context.Context, pid int) (service.Stats, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all, err := f.ask(ctx)
	if err != nil {
		f.s.log.Debug("no figures", "error", err)
		return service.Stats{}, false
	}
	for _, g := range all {
		if g.PID == pid {
			f.heard = time.Now()
			return g, true
		}
	}
	return service.Stats{}, false
}

func (f *figures) ask(ctx context.Context) ([]service.Stats, error) {
	ctx, cancel := context.WithTimeout(ctx, figuresTimeout)
	defer cancel()
	c, err := f.s.keepers.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Stats(ctx)
}

// figuresTimeout bounds the wait for figures: they come from the loop that decides, so one that is late is ill.
const figuresTimeout = 2 * time.Second

func (f *figures) last() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.heard
}

// watch keeps what an upgrade is compared with, while none is under way.
func (f *figures) watch(ctx context.Context) {
	look := time.NewTicker(baselineInterval)
	defer look.Stop()
	for {
		f.s.mu.Lock()
		busy, changed := f.s.upgrade != nil, f.s.changed
		f.s.mu.Unlock()
		if busy || f.look(ctx) {
			changed = nil // the next one at its time
		}
		select {
		case <-changed: // there was nobody to ask
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

// look asks for the figures of the generation that serves, and reports whether it could.
func (f *figures) look(ctx context.Context) bool {
	f.s.mu.Lock()
	status := f.s.status
	f.s.mu.Unlock()
	if status == nil {
		return false
	}
	g, ok := f.of(ctx, status.PID)
	if ok {
		f.add(g)
	}
	return ok
}

// add takes what came since the figures before.
func (f *figures) add(g service.Stats) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := traffic(g)
	if g.PID == f.pid {
		f.intervals = append(f.intervals, now.Since(f.before))
		if most := int(baselineLength / baselineInterval); len(f.intervals) > most {
			f.intervals = f.intervals[len(f.intervals)-most:]
		}
	} else {
		f.intervals = nil // another build, or another process of it that has not warmed up
	}
	f.pid, f.before = g.PID, now
}

// takeBaseline is what the build that serves uses and has answered.
func (s *Supervisor) takeBaseline(ctx context.Context) judge.Baseline {
	var b judge.Baseline
	if sampler, err := observe.NewSampler(); err == nil {
		b.Resources = s.observe(ctx, sampler).Resources
		if s.config.Policy.CPU.Ratio > 0 { // two readings tell how busy it is
			select {
			case <-time.After(time.Second):
				b.Resources = s.observe(ctx, sampler).Resources
			case <-ctx.Done():
			}
		}
	}
	if s.figures != nil {
		s.figures.look(ctx) // with what came since the last look
		s.figures.mu.Lock()
		defer s.figures.mu.Unlock()
		for _, t := range s.figures.intervals {
			b.Add(t)
		}
	}
	return b
}
