package supervise

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/handover-go/handover/host/journal"
	"github.com/handover-go/handover/host/service"
)

// wish is what a person wants of an upgrade under way.
type wish struct {
	what   command
	by     string
	answer chan<- error
}

type command int

const (
	promote command = iota
	abort
	pause
	proceed
)

// Promote ends probation or bake time now, with a good verdict.
func (s *Supervisor) Promote(ctx context.Context, by string) error { return s.want(ctx, promote, by) }

// Abort ends the upgrade under way: before the keeper is asked by leaving it at that, before it is final by taking the successor back, in the bake time by
// returning.
func (s *Supervisor) Abort(ctx context.Context, by string) error { return s.want(ctx, abort, by) }

// Pause keeps an upgrade under way where it is, in probation or in its bake time, and has none begin until Resume. One under way still fails when
// a check does.
func (s *Supervisor) Pause(ctx context.Context, by string) error {
	if err := s.record(func(d *journal.Desired) { d.Paused = true }); err != nil {
		return err
	}
	return s.ifUnderWay(s.want(ctx, pause, by))
}

// Resume lets upgrades go on, and begin.
func (s *Supervisor) Resume(ctx context.Context, by string) error {
	if err := s.record(func(d *journal.Desired) { d.Paused = false }); err != nil {
		return err
	}
	return s.ifUnderWay(s.want(ctx, proceed, by))
}

// ifUnderWay drops the error that nothing is.
func (s *Supervisor) ifUnderWay(err error) error {
	if errors.Is(err, ErrIdle) {
		return nil
	}
	return err
}

// want has the upgrade under way do something, as soon as it is at a point where it can.
func (s *Supervisor) want(ctx context.Context, what command, by string) error {
	s.mu.Lock()
	u := s.upgrade
	s.mu.Unlock()
	if u == nil {
		return ErrIdle
	}
	answer := make(chan error, 1)
	early := u.early
	if what == promote {
		early = nil // nothing is on trial yet
	}
	select {
	case u.wishes <- wish{what, by, answer}:
		return <-answer
	case early <- wish{what, by, answer}:
		return <-answer
	case <-u.done:
		return fmt.Errorf("%w: it has just ended: %s", ErrIdle, u.snapshot().State)
	case <-ctx.Done():
		return fmt.Errorf("the upgrade is %s, where it cannot be told that: %w", u.snapshot().State, ctx.Err())
	}
}

// Wait returns the record of an upgrade as soon as it has ended or has more than that many steps, or ctx has ended.
func (s *Supervisor) Wait(ctx context.Context, number uint64, steps int) (journal.Upgrade, error) {
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		r, err := s.Record(number)
		if err != nil || !r.Ended.IsZero() || len(r.Steps) > steps {
			return r, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return r, ctx.Err()
		}
	}
}

// Record of an upgrade.
func (s *Supervisor) Record(number uint64) (journal.Upgrade, error) {
	s.mu.Lock()
	r, ok := s.lastLocked()
	s.mu.Unlock()
	if ok && r.Number == number {
		return r, nil
	}
	return s.journal.Upgrade(s.config.Name, number)
}

// History of the service, the newest first, at most limit of them.
func (s *Supervisor) History(limit int) ([]journal.Upgrade, error) {
	s.mu.Lock()
	r, ok := s.lastLocked() // ahead of the journal: what is not told here any more, is on disk
	s.mu.Unlock()
	all, err := s.journal.History(s.config.Name, limit)
	if err == nil && ok && len(all) > 0 && all[0].Number == r.Number && all[0].Ended.IsZero() {
		all[0] = r
	}
	return all, err
}

// lastLocked is the record of the last upgrade, where not all of it is on disk yet: it is under way, or the disk did not take its end.
func (s *Supervisor) lastLocked() (journal.Upgrade, bool) {
	switch {
	case s.upgrade != nil:
		return s.upgrade.snapshot(), true
	case s.unwritten != nil:
		return s.unwritten.record, true
	default:
		return journal.Upgrade{}, false
	}
}

// Start has the service run. It returns when it serves, was given up, or has died three times since; it is started again all the same then.
func (s *Supervisor) Start(ctx context.Context) error {
	var d deaths
	s.mu.Lock()
	d.before(s.status)
	s.mu.Unlock()
	if err := s.Revive(); err != nil {
		return err
	}
	return s.until(ctx, started(&d))
}

// started is what Start waits for.
func started(d *deaths) func(Status) (bool, error) {
	return func(st Status) (bool, error) {
		switch n := d.with(st.Said); {
		case st.State == Failed:
			return true, fmt.Errorf("the service was given up: %s", st.Reason)
		case st.State == Starting && n >= enoughDeaths:
			return true, fmt.Errorf("the service has died %d times since it was to start, and is started again: %s", n, st.Said.Keeper.Last)
		}
		return st.State != Starting && st.State != Stopped, nil
	}
}

// Revive is Start without the wait.
func (s *Supervisor) Revive() error {
	if err := s.record(func(d *journal.Desired) { d.Running = true }); err != nil {
		return err
	}
	s.mu.Lock()
	s.failed, s.suspended = false, false
	s.mu.Unlock()
	s.look()
	return nil
}

// Serves returns when the service serves.
func (s *Supervisor) Serves(ctx context.Context) error {
	return s.until(ctx, func(st Status) (bool, error) {
		return slices.Contains([]string{Running, Upgrading, Baking, Returning}, st.State), nil
	})
}

// Stop ends the service gracefully, and its keeper. It returns when nobody answers any more. Errors: ErrBusy while an upgrade is
// under way.
func (s *Supervisor) Stop(ctx context.Context) error {
	s.settled(ctx)
	if err := s.unwant(); err != nil {
		return err
	}
	return s.end(ctx)
}

// unwant records that the service is not to run, unless an upgrade is under way: none begins in between.
func (s *Supervisor) unwant() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.upgrade; u != nil {
		return fmt.Errorf("%w: number %d; abort it first", ErrBusy, u.snapshot().Number)
	}
	return s.recordLocked(func(d *journal.Desired) { d.Running = false })
}

// Suspend ends the service until the next supervisor, or Start. An upgrade under way is left to that one, as by a death.
func (s *Supervisor) Suspend(ctx context.Context) error {
	s.mu.Lock()
	s.suspended = true
	s.mu.Unlock()
	return s.end(ctx)
}

// end ends the keeper, and so the service.
func (s *Supervisor) end(ctx context.Context) error {
	c, err := s.keepers.dial(ctx)
	switch {
	case errors.Is(err, service.ErrNobody):
	case err != nil:
		return err
	default:
		defer c.Close()
		if err := c.Stop(ctx); err != nil {
			return err
		}
		limit, cancel := context.WithTimeout(ctx, EndTimeout(s.config.StopTimeout, len(s.config.Listen) > 0))
		defer cancel()
		if err := c.Wait(limit); err != nil {
			return err
		}
	}
	s.look()
	return s.until(ctx, func(st Status) (bool, error) { return st.State == Stopped, nil })
}

// until waits for a state of the service.
func (s *Supervisor) until(ctx context.Context, reached func(Status) (bool, error)) error {
	for {
		s.mu.Lock()
		st, changed := s.statusLocked(), s.changed
		s.mu.Unlock()
		if ok, err := reached(st); ok {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("the service is %s (%s): %w", st.State, st.Reason, ctx.Err())
		}
	}
}

// obey answers a wish.
func (u *upgrade) obey(w wish) {
	u.mu.Lock()
	u.paused = w.what == pause || u.paused && w.what != proceed && w.what != promote
	u.mu.Unlock()
	w.answer <- nil
}
