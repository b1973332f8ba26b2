package supervise

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/handover-go/handover/host/journal"
	"github.com/handover-go/handover/host/release"
	"github.com/handover-go/handover/host/service"
)

// comeBack takes up the upgrade that was under way when the supervisor before ended. What the journal says last was begun, and
// may have been done: the keeper knows.
func (s *Supervisor) comeBack(ctx context.Context, all *sync.WaitGroup) error {
	all.Go(func() { // one at a time: begin is called only when none is under way
		for {
			select {
			case run := <-s.upgrades:
				run(ctx)
			case <-ctx.Done():
				return
			}
		}
	})
	unfinished, err := s.journal.Unfinished()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(unfinished, func(r journal.Upgrade) bool { return r.Service == s.config.Name })
	if i < 0 {
		return nil
	}
	r := unfinished[i]
	u := s.newUpgrade(r, release.Release{})
	if s.releases != nil {
		var damaged [2]error
		u.from, damaged[0] = find(s.releases, r.From)
		u.to, damaged[1] = find(s.releases, r.To)
		if err := errors.Join(damaged[:]...); err != nil {
			s.log.Error("a release of the upgrade that was under way cannot be read", "upgrade", r.Number, "error", err)
		}
		if damaged[0] != nil {
			u.from = release.Release{} // what the keeper has of the build before is asked for
		}
	}
	s.log.Info("an upgrade was under way", "upgrade", r.Number, "state", r.State)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begin(u, u.takeUp)
	return nil
}

// find is the release of that ID; one without ID if it is not there any more. One that cannot be read has its name and place: it cannot be made current,
// and so is not kept.
func find(store *release.Store, id string) (release.Release, error) {
	if id == "" {
		return release.Release{}, nil
	}
	r, err := store.Get(id)
	switch {
	case errors.Is(err, release.ErrNotFound):
		return release.Release{}, nil
	case err != nil:
		return release.Release{ID: id, Dir: filepath.Join(store.Dir(), "releases", id)}, err
	}
	return r, nil
}

// takeUp goes on where the record ends.
func (u *upgrade) takeUp(ctx context.Context) {
	s, r := u.s, u.snapshot()
	switch r.State {
	case "planned", "staging", "asking":
		u.end(ctx, "aborted", errors.New("the agent ended before the keeper was asked"))
		return
	case "returning":
		u.giveBack(ctx, errors.New(r.Reason))
		return
	}
	c, err := s.somebody(ctx)
	if err != nil {
		if ctx.Err() == nil {
			u.end(ctx, "failed", fmt.Errorf("nobody answers for the service since the agent came back: %w", err))
		}
		return
	}
	defer c.Close()
	switch r.State {
	case "switching", "proving":
		result, err := u.prove(ctx, c, func(watch func(service.State)) (service.Result, error) { return c.Follow(ctx, watch) })
		if err == nil || errors.Is(err, service.ErrAborted) || errors.Is(err, service.ErrResumed) {
			if status, serr := c.Status(ctx); serr == nil && u.whose(status) == theNew {
				err = nil // whatever the last one was that the keeper knows of
			} else if err == nil {
				err = fmt.Errorf("%w: the keeper was not asked before the agent ended", service.ErrAborted)
			}
		}
		u.handedOver(ctx, result, err)
	case "baking":
		u.bake(ctx, time.Now().Add(bakeLeft(time.Until(r.BakeUntil), s.config.Bake)))
	default:
		u.end(ctx, "failed", fmt.Errorf("the record says %q, which nothing follows", r.State))
	}
}

// leastBake is for how long a build is watched by an agent that has just come, however little of its time is left: the figures
// that were seen before are gone.
const leastBake = 10 * time.Second

// bakeLeft is the rest of a bake time, of which the record has the end by a clock that may have been set since: never more than the whole.
func bakeLeft(left, bake time.Duration) time.Duration {
	return max(min(left, bake), leastBake)
}

// somebody reaches who answers for the service, when attend has seen to it that there is one.
func (s *Supervisor) somebody(ctx context.Context) (*service.Client, error) {
	limit, cancel := context.WithTimeout(ctx, appearTimeout)
	defer cancel()
	err := s.until(limit, func(st Status) (bool, error) { return st.Said != nil || st.State == Failed, nil })
	if err != nil {
		return nil, err
	}
	return s.keepers.dial(limit)
}

// prune removes releases that nobody needs; those in use, and what lives, are spared.
func (s *Supervisor) prune(inUse ...string) {
	if s.releases == nil {
		return
	}
	s.mu.Lock()
	for _, g := range s.generationsLocked() {
		if id := s.releaseIn(g.Dir); id != "" {
			inUse = append(inUse, id)
		}
	}
	s.mu.Unlock()
	removed, err := s.releases.Prune(s.config.Keep, inUse...)
	if err != nil {
		s.log.Warn("old releases are not removed", "error", err)
	}
	if len(removed) > 0 {
		s.log.Info("old releases are removed", "releases", removed)
	}
}

// before is the release that served before id did, by the journal.
func (s *Supervisor) before(id string) (string, error) {
	history, err := s.journal.History(s.config.Name, 0)
	if err != nil {
		return "", err
	}
	for _, r := range history {
		if r.To == id && (r.State == "kept" || r.State == "baking") && r.From != "" && r.From != id {
			return r.From, nil
		}
	}
	return "", fmt.Errorf("%w: nothing is on record that served before %s: name one", ErrNoRelease, id)
}
