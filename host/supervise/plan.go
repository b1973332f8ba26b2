package supervise

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/handover-go/handover/host/release"
	"github.com/handover-go/handover/keeper/preflight"
)

// Plan is what an upgrade would do.
type Plan struct {
	From, To string
	Steps    []string
	Warnings []string
	Refused  string // why it would not be begun; empty: it would
}

// Plan says what an upgrade would do, and does nothing: a release that is not here yet is only named.
func (s *Supervisor) Plan(ctx context.Context, w Wish) Plan {
	s.mu.Lock()
	u, running := s.upgrade, s.desired.Running
	s.mu.Unlock()
	p := Plan{}
	var waiting []string
	if !w.Rollback {
		waiting, _ = s.Waiting(ctx) // what nobody can say is not planned
	}
	from, err := s.current()
	p.From = from.ID
	var to release.Release
	switch {
	case u != nil:
		r := u.snapshot()
		p.Refused = fmt.Sprintf("%v: number %d, %s", ErrBusy, r.Number, r.State)
	case !running:
		p.Refused = ErrStopped.Error()
	case s.mismatch(w) != nil:
		p.Refused = s.mismatch(w).Error()
	case s.releases == nil:
		p.To = cmp.Or(w.Binary, s.config.Command)
	case err != nil:
		p.Refused = err.Error()
	default:
		to, err = s.planned(w, from, len(waiting) > 0)
		if p.To = to.ID; err != nil {
			p.Refused = err.Error()
		} else if p.To == "" {
			p.To = cmp.Or(w.Source, s.config.Source)
		}
	}
	if p.Refused == "" {
		p.examine(s, to)
		p.steps(s, waiting)
	}
	return p
}

// planned is the release that would be gone to; none if it is to be fetched.
func (s *Supervisor) planned(w Wish, from release.Release, anew bool) (release.Release, error) {
	ref := w.Release
	if w.Rollback && ref == "" {
		var err error
		if ref, err = s.before(from.ID); err != nil {
			return release.Release{}, err
		}
	}
	if ref == "" {
		if cmp.Or(w.Source, s.config.Source) == "" {
			return release.Release{}, fmt.Errorf("%w: name one, or a source", ErrNoRelease)
		}
		return release.Release{}, nil
	}
	to, err := s.releases.Get(ref)
	if err == nil && to.ID == from.ID && !anew {
		err = fmt.Errorf("release %s serves already", to.ID)
	}
	return to, err
}

// examine looks at the build as the keeper will.
func (p *Plan) examine(s *Supervisor, to release.Release) {
	path := p.To
	if s.releases != nil {
		if to.ID == "" {
			return
		}
		path, _ = s.config.program(to)
	}
	reference := preflight.Reference{}
	s.mu.Lock()
	if s.status != nil {
		reference.PID = s.status.PID
	}
	s.mu.Unlock()
	report, err := preflight.Check(path, reference)
	for _, w := range report.Warnings {
		p.Warnings = append(p.Warnings, w.Error())
	}
	if err != nil {
		p.Refused = err.Error()
	}
	if to.ID != "" && !to.Manifest.Expires.IsZero() && time.Until(to.Manifest.Expires) < 0 {
		p.Warnings = append(p.Warnings, "the release has expired since it was taken in")
	}
}

// steps says them in order.
func (p *Plan) steps(s *Supervisor, waiting []string) {
	say := func(format string, args ...any) { p.Steps = append(p.Steps, fmt.Sprintf(format, args...)) }
	if s.releases != nil {
		say("fetch, verify and lay down %s", p.To)
	}
	if s.config.Hook != nil {
		say("ask the hooks of the phase before, which may veto")
	}
	say("start %s beside the generation that serves, and hand over when it is ready", p.To)
	if len(waiting) > 0 {
		say("it is started with what is configured by now, and was not when the one that serves was started: %s", strings.Join(waiting, ", "))
	}
	if s.config.Health.Path != "" {
		say("before the commit: GET %s on a connection of its own", s.config.Health.Path)
	}
	if n := len(s.config.Checks); n > 0 {
		say("in probation: %d checks must pass, else it is taken back with nothing lost", n)
	}
	if s.config.Bake > 0 {
		say("watch it for %s after the handover is final; go back to %s if it disappoints", s.config.Bake, cmp.Or(p.From, "the build before"))
	}
	say("keep it, and the %d releases before it", s.config.Keep)
}
