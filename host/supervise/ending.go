package supervise

import (
	"errors"
	"fmt"

	"github.com/handover-go/handover/host/journal"
	"github.com/handover-go/handover/host/release"
)

// ending is how an upgrade has ended, as it is to be on disk.
type ending struct {
	record  journal.Upgrade // its last step is the end
	current string          // the release that is to be current first; empty: it is
}

// conclude writes down how an upgrade has ended. What the disk does not take is kept: until it is written, the journal says that the upgrade is under
// way, for this supervisor, which begins none before, and for the next, which takes it up.
func (s *Supervisor) conclude(e ending) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unwritten = &e
	return s.concludeLocked()
}

// concludeNow tries once more, as room may have come.
func (s *Supervisor) concludeNow() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.concludeLocked()
}

// concludeLocked writes down what is not yet.
func (s *Supervisor) concludeLocked() error {
	e := s.unwritten
	if e == nil {
		return nil
	}
	r := e.record
	if over, err := s.makeCurrent(e.current); !over {
		return fmt.Errorf("write down that upgrade %d has ended: %w", r.Number, err)
	}
	e.current = ""
	err := s.journal.End(r.Service, r.Number, r.Steps[len(r.Steps)-1], r.Evidence)
	if err != nil && !errors.Is(err, journal.ErrEnded) { // which it is if the disk took it, and failed after that
		return err
	}
	s.unwritten = nil
	return nil
}

// makeCurrent makes a release current, and reports whether that is over: it is, or is damaged and never will be. What a disk does not take is tried again.
func (s *Supervisor) makeCurrent(id string) (over bool, err error) {
	if id == "" {
		return true, nil
	}
	err = s.releases.Activate(id)
	return err == nil || errors.Is(err, release.ErrDamaged) || errors.Is(err, release.ErrNotFound), err
}

// makeCurrent makes that release current which is to be so at the end.
func (u *upgrade) makeCurrent() error {
	over, err := u.s.makeCurrent(u.current)
	if over {
		u.current = ""
	}
	return err
}
