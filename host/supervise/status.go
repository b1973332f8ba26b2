package supervise

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/handover-go/handover/host/journal"
	"github.com/handover-go/handover/host/release"
	"github.com/handover-go/handover/host/service"
	"github.com/handover-go/handover/internal/wire"
)

// Status is how a service is.
type Status struct {
	Name, State string
	Paused      bool
	Reason      string          // why it is not as it should be
	Said        *service.Status // by the service itself; nil while nobody answers
	Figures     []service.Stats // of each generation whose library counts, as asked for last by Fresh
	Release     string          // that serves; empty without releases
	Version     string
	Checked     bool   // whether its health is known
	Unhealthy   string // which check fails, and how
	Upgrade     *journal.Upgrade
}

// Status of the service now.
func (s *Supervisor) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.statusLocked()
}

func (s *Supervisor) statusLocked() Status {
	st := Status{
		Name: s.config.Name, State: s.stateLocked(), Paused: s.desired.Paused, Reason: s.trouble, Said: s.status, Figures: s.stats,
		Checked: s.health.known, Unhealthy: s.health.bad,
	}
	if st.Reason == "" && st.State == Starting {
		st.Reason = died(s.status)
	}
	if u := s.upgrade; u != nil {
		r := u.snapshot()
		st.Upgrade = &r
	}
	if g, ok := serving(s.status); ok {
		st.Release = s.releaseIn(g.Dir)
	}
	switch {
	case st.Release != "":
		st.Version = st.Release[:max(strings.LastIndexByte(st.Release, '-'), 0)]
	case st.Said != nil:
		st.Version = st.Said.Build.Version
	}
	return st
}

// releaseIn is the ID of the release that lies in a directory; empty if it is none.
func (s *Supervisor) releaseIn(dir string) string {
	if s.releases == nil || filepath.Dir(dir) != filepath.Join(s.releases.Dir(), "releases") {
		return ""
	}
	return filepath.Base(dir)
}

// generationsLocked are those that live.
func (s *Supervisor) generationsLocked() []wire.Living {
	if s.status == nil || s.status.Keeper == nil {
		return nil
	}
	return s.status.Keeper.Generations
}

// Serving is the generation that serves.
func (st Status) Serving() (wire.Living, bool) { return serving(st.Said) }

// OnDisk is a release on disk, and what it is to the service.
type OnDisk struct {
	release.Release
	Current   bool // what a start would start
	Committed bool // it was kept by an upgrade once
}

// Releases of the service, the one added last first.
func (s *Supervisor) Releases() ([]OnDisk, error) {
	if s.releases == nil {
		return nil, nil
	}
	all, err := s.releases.List()
	current, _, cerr := s.releases.Current()
	history, herr := s.journal.History(s.config.Name, 0)
	var list []OnDisk
	for _, r := range all {
		kept := slices.ContainsFunc(history, func(u journal.Upgrade) bool { return u.To == r.ID && u.State == "kept" })
		list = append(list, OnDisk{r, r.ID == current.ID, kept})
	}
	return list, errors.Join(err, cerr, herr)
}

// serving is the generation that serves.
func serving(s *service.Status) (wire.Living, bool) {
	if s == nil || s.Keeper == nil {
		return wire.Living{}, false
	}
	for _, g := range s.Keeper.Generations {
		if g.PID == s.PID {
			return g, true
		}
	}
	return wire.Living{}, false
}

// running names the build that the keeper starts, by its digest; empty if it is not known.
func running(s *service.Status) string {
	if s == nil || s.Keeper == nil || len(s.Keeper.Running) < 12 {
		return ""
	}
	return "sha256:" + s.Keeper.Running[:12]
}

// serves reports whether a generation serves.
func (s *Supervisor) serves() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := serving(s.status)
	return ok
}

// watchOutput keeps the files of the service's output within their bounds.
func (s *Supervisor) watchOutput(ctx context.Context) {
	if s.config.Journald {
		return
	}
	look := time.NewTicker(outputInterval)
	defer look.Stop()
	for {
		if err := s.config.Output.rotate(ctx, s.config.OutputDir, s.writtenTo); err != nil && !errors.Is(err, os.ErrNotExist) {
			s.log.Warn("output is not rotated", "error", err)
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

// outputInterval is the time between two looks at the size of output; a file may grow beyond its bound by what is written meanwhile.
const outputInterval = time.Minute

// writtenTo reports whether a living process writes to a file of output. As long as nobody answers, all are taken to be.
func (s *Supervisor) writtenTo(path string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status == nil || filepath.Base(path) == "keeper.log" {
		return !strings.Contains(filepath.Base(path), ".log.")
	}
	for _, g := range s.generationsLocked() {
		if g.Output == path {
			return true
		}
	}
	return false
}
