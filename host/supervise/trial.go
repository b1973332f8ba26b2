package supervise

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/handover-go/handover/host/judge"
	"github.com/handover-go/handover/host/observe"
	"github.com/handover-go/handover/host/release"
	"github.com/handover-go/handover/host/service"
)

// trial is what one build is seen to do, and what the judge makes of it. It belongs to the goroutine of its upgrade, but for hear.
type trial struct {
	s       *Supervisor
	judged  judge.Case
	sampler *observe.Sampler // nil where there is no /proc
	version string           // that the release promises; empty if nobody checks
	release string           // the directory of the release; empty if there is none
	deaths  int              // of the service, before this trial

	mu     sync.Mutex
	heard  []judge.Check   // outcomes of checks that the judge does not know yet
	passed map[string]bool // checks that have passed at least once
}

// newTrial begins one. What the checks say from now on is about the new build.
func (s *Supervisor) newTrial(against judge.Baseline, to release.Release) *trial {
	policy := s.config.Policy
	if s.config.CheckVersion && to.ID != "" {
		policy.Version = to.Manifest.Version
	}
	t := &trial{s: s, judged: judge.New(policy, against), version: policy.Version, release: to.Dir, passed: map[string]bool{}}
	if sampler, err := observe.NewSampler(); err == nil {
		t.sampler = sampler
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status != nil && s.status.Keeper != nil {
		t.deaths = s.status.Keeper.Restarts
	}
	s.trial = t
	return t
}

// hear takes the outcome of a check.
func (t *trial) hear(c judge.Check) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.heard = append(t.heard, c)
	if c.OK {
		t.passed[c.Name] = true
	}
}

// complete reports whether every check has passed at least once.
func (t *trial) complete() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.passed) >= len(t.s.config.Checks)
}

// look has the judge hear what was seen since the look before.
func (t *trial) look(ctx context.Context) judge.Verdict {
	o := t.s.observe(ctx, t.sampler)
	t.mu.Lock()
	o.Checks, t.heard = t.heard, nil
	t.mu.Unlock()
	o.Restarts -= t.deaths
	if t.version == "" {
		o.Version = ""
	}
	var v judge.Verdict
	t.judged, v = t.judged.With(o)
	return v
}

// close ends the trial.
func (t *trial) close() judge.Verdict {
	t.s.mu.Lock()
	if t.s.trial == t {
		t.s.trial = nil
	}
	t.s.mu.Unlock()
	return t.judged.Close()
}

// observe is what can be seen of the generation that serves now: what it uses, what it has answered, what it says of itself.
func (s *Supervisor) observe(ctx context.Context, sampler *observe.Sampler) judge.Observation {
	o := judge.Observation{At: time.Now()}
	s.mu.Lock()
	status := s.status
	s.mu.Unlock()
	if status == nil {
		return o
	}
	if status.Keeper != nil {
		o.Restarts = status.Keeper.Restarts
	}
	o.Version = strings.TrimPrefix(status.Build.Version, "v")
	pid := candidate(status)
	if sampler != nil && pid > 0 {
		o.Resources, _ = sampler.Read(s.family(pid)...) // what could not be read is not known
	}
	if s.figures == nil {
		return o
	}
	if f, ok := s.figures.of(ctx, pid); ok {
		o.Heartbeat = judge.Heartbeat{Known: true, At: time.Now()}
		o.Traffic = traffic(f)
		o.Resources.Goroutines = f.Goroutines
		o.Resources.Known |= judge.KnownGoroutines
	} else if s.config.Heartbeat {
		o.Heartbeat = judge.Heartbeat{Known: true, At: s.figures.last()}
	}
	return o
}

// candidate is the process that takes new connections: the successor while it is on probation.
func candidate(status *service.Status) int {
	if status.Keeper != nil {
		for _, g := range status.Keeper.Generations {
			if g.State == "proving" {
				return g.PID
			}
		}
	}
	return status.PID
}

// family is a process and, of a program that does not embed handover, what it has started.
func (s *Supervisor) family(pid int) []int {
	if len(s.config.Listen) == 0 {
		return []int{pid}
	}
	return observe.Family(pid)
}

// traffic is what a generation has answered, as the judge wants it.
func traffic(f service.Stats) judge.Traffic {
	if f.Requests == nil {
		return judge.Traffic{}
	}
	t := judge.Traffic{Requests: f.Requests.Total, Errors: f.Requests.Errors}
	for _, b := range f.Requests.Latency {
		_ = t.Latency.AddCount(min(max(b.Index, 0), judge.Buckets-1), b.Count) // the last one has all that is beyond
	}
	return t
}

// bakeInterval is the time between two looks in the bake time: each looks at all there is, and the judge allows for their number.
func (s *Supervisor) bakeInterval() time.Duration {
	return min(max(s.config.Bake/100, 250*time.Millisecond), 5*time.Second)
}
