package handover

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/handover-go/handover/internal/wire"
)

// Sentinel errors, for errors.Is. Each is wrapped with what happened.
var (
	// ErrInProgress: a handover is under way. The Result beside it, and the error's text, have its number.
	ErrInProgress = errors.New("a handover is under way")
	// ErrAborted: the handover ended before its commit. The incumbent serves on as if nothing had been.
	ErrAborted = errors.New("handover aborted")
	// ErrResumed: the successor was taken back after the commit. The incumbent serves again.
	ErrResumed = errors.New("successor taken back")
	// ErrDenied: the other side may not do what it asked for.
	ErrDenied = errors.New("denied")
	// ErrNotReady: the service does not serve yet, or is ending.
	ErrNotReady = errors.New("not serving")
	// ErrTooManyDraining: as many generations as MaxDraining allows still drain.
	ErrTooManyDraining = errors.New("too many generations are draining")
	// ErrDraining is the cause (see [context.Cause]) with which a context of [WithDrainDeadline] ends when the generation that
	// answers the request is about to cut it.
	ErrDraining = errors.New("this generation is about to cut what it has not finished")
	// ErrNeedsKeeper: as PID 1 of a container this process cannot be replaced; it needs "handover run" as its parent.
	ErrNeedsKeeper = errors.New("PID 1 cannot be replaced: start the service under \"handover run\"")
	// ErrLetGo is what [Session.Wait] returns when the session should be let go, with [Session.LetGo].
	ErrLetGo = errors.New("the session is to be let go")
	// ErrDisabled: HANDOVER=off.
	ErrDisabled = errors.New("handovers are switched off by HANDOVER=off")
)

// withRemedy says what to do about an error of the system that does not say it.
func withRemedy(err error) error {
	switch {
	case errors.Is(err, syscall.EMFILE):
		return fmt.Errorf("%w: raise RLIMIT_NOFILE", err)
	case errors.Is(err, wire.ErrTooManyInFlight):
		return fmt.Errorf("%w: processes of this user do not receive what they were sent: end them, or raise RLIMIT_NOFILE", err)
	default:
		return err
	}
}
