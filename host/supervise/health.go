package supervise

import (
	"cmp"
	"context"
	"slices"
	"syscall"

	"github.com/handover-go/handover/host/judge"
	"github.com/handover-go/handover/host/observe"
)

// health is what the checks say, outside of upgrades too.
type health struct {
	known bool
	bad   string // which check fails, and how; empty: none
}

// probes are the checks as they are run: programs lie in the release that is checked, and run as the service does, which may have brought them; a
// trial hears what has begun in it.
func (s *Supervisor) probes(checks []observe.Probe) []observe.Probe {
	all := slices.Clone(checks)
	for i, p := range all {
		if c, ok := p.Check.(observe.Exec); ok {
			if s.releases != nil {
				c.Root = s.checkedRelease
			}
			if a := s.config.Account; a != nil {
				c.Attr, c.Env = &syscall.SysProcAttr{Credential: a.credential()}, a.environment()
			}
			p.Check = c
		}
		all[i].Check = tried{p, s}
	}
	return all
}

// tried is a check of which the trial hears in which it has begun: one that began before has asked the build before.
type tried struct {
	observe.Probe
	s *Supervisor
}

// Run implements observe.Check.
func (c tried) Run(ctx context.Context) judge.Check {
	c.s.mu.Lock()
	t := c.s.trial
	c.s.mu.Unlock()
	outcome := c.Check.Run(ctx)
	outcome.Failures = c.Failures
	if t != nil && ctx.Err() == nil {
		t.hear(outcome)
	}
	return outcome
}

// checkedRelease is the directory of the release that checks are about: that of the successor from its trial on, else of what serves, else of what
// would be started.
func (s *Supervisor) checkedRelease() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.trial; t != nil && t.release != "" {
		return t.release
	}
	if g, ok := serving(s.status); ok && s.releaseIn(g.Dir) != "" {
		return g.Dir
	}
	r, _, _ := s.releases.Current() // what cannot be found fails the check
	return r.Dir
}

// watchHealth runs the checks for as long as ctx lasts, and keeps what they say.
func (s *Supervisor) watchHealth(ctx context.Context) {
	failing := map[string]string{}
	observe.Watch(ctx, s.config.Checks, func(c judge.Check) {
		s.mu.Lock()
		before := s.health
		if c.OK {
			delete(failing, c.Name)
		} else if s.status != nil {
			failing[c.Name] = c.Detail
		}
		s.health.known, s.health.bad = true, ""
		for name, detail := range failing {
			s.health.bad = name + ": " + detail
		}
		now := s.health
		s.mu.Unlock()
		if before.known != now.known || (before.bad == "") != (now.bad == "") {
			s.event("health", 0, cmp.Or(now.bad, "good"))
		}
	})
}
