package supervise

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/handover-go/handover/host/journal"
	"github.com/handover-go/handover/host/release"
)

// errNotHere: the first release could not be brought here.
var errNotHere = errors.New("the first release is not here yet")

// takeFirst brings the first release here, from the configured source, if there is none. It ends when the service is stopped.
func (s *Supervisor) takeFirst(ctx context.Context) error {
	if _, err := s.current(); !errors.Is(err, ErrNoRelease) || s.config.Source == "" {
		return nil // what else is wrong with it is found when it is started
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel(nil)
	watching.Go(func() {
		for s.wanted() && ctx.Err() == nil {
			s.await(ctx, nil)
		}
		cancel(ErrStopped)
	})
	src, err := release.ParseSource(s.config.Source)
	if err == nil {
		s.note(nil, fmt.Sprintf("the first release is fetched from %s", src)) // which hides what is secret
		err = s.fetchFirst(ctx)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errNotHere, err)
	}
	s.note(nil, "")
	return nil
}

// fetchFirst is an upgrade from nothing, and on record as such.
func (s *Supervisor) fetchFirst(ctx context.Context) error {
	if err := s.concludeNow(); err != nil {
		return err
	}
	u := journal.Upgrade{Service: s.config.Name, Kind: "upgrade", By: "agent", Began: time.Now(), State: "staging"}
	u, _, err := s.journal.Begin(u)
	if err != nil {
		return err
	}
	r, err := s.fetch(ctx, s.config.Source, false)
	if err == nil {
		err = errors.Join(s.releases.Activate(r.ID), s.releases.Commit(r.ID))
	}
	end := journal.Step{State: "kept", At: time.Now(), Detail: "the first release"}
	if err != nil {
		end.State, end.Detail = "aborted", err.Error()
	}
	staging := journal.Step{State: "staging", At: end.At, Detail: s.config.Source}
	unwritten := s.journal.Step(u.Service, u.Number, staging, func(u *journal.Upgrade) { u.To = r.ID })
	u.To, u.State, u.Ended, u.Reason, u.Steps = r.ID, end.State, end.At, end.Detail, append(u.Steps, staging, end)
	return errors.Join(err, unwritten, s.conclude(ending{record: u}))
}

// awaitFirst waits until the first release is to be asked for again. That is never given up: nobody is served meanwhile, and whoever publishes the
// release need not know of this host.
func (s *Supervisor) awaitFirst(ctx context.Context, pause time.Duration, err error) {
	s.log.Warn("the first release cannot be fetched", "error", err, "again_in", pause)
	s.note(nil, fmt.Sprintf("%v; it is asked for again at %s", err, time.Now().Add(pause).Format(time.RFC3339)))
	s.await(ctx, time.After(pause))
}
