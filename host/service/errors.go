package service

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/handover-go/handover/internal/takeover"
	"github.com/handover-go/handover/internal/wire"
)

// What can go wrong before anybody is asked.
var (
	// ErrNoService: the runtime directory has no socket of any service.
	ErrNoService = errors.New("no service found")
	// ErrNobody: the service has no socket, or no process answers at it.
	ErrNobody = takeover.ErrNobody
)

// The class of a refusal, as the wire protocol names it. ErrDenied is also what this side says of a service or a directory
// that belongs to somebody else.
var (
	ErrUnsupported  = errors.New("not supported")
	ErrDenied       = errors.New("denied")
	ErrBusy         = errors.New("a handover is under way")
	ErrFailed       = errors.New("failed")
	ErrCancelled    = errors.New("cancelled")
	ErrDeadline     = errors.New("too late")
	ErrVerification = errors.New("build refused")
)

// How a handover ended that was not final.
var (
	// ErrAborted: before its commit. The service was never without the build that it had.
	ErrAborted = errors.New("handover aborted")
	// ErrResumed: after its commit. The successor was taken back, or died, and the build before serves again.
	ErrResumed = errors.New("successor taken back")
)

// ErrLost: the service ended the conversation, or its process died, before it had answered. What was asked for may have
// happened.
var ErrLost = errors.New("no answer came")

var classes = map[wire.Code]error{
	wire.CodeUnsupported: ErrUnsupported, wire.CodeDenied: ErrDenied, wire.CodeBusy: ErrBusy, wire.CodeFailed: ErrFailed,
	wire.CodeCancelled: ErrCancelled, wire.CodeDeadline: ErrDeadline, wire.CodeVerification: ErrVerification,
}

var outcomes = map[string]error{"aborted": ErrAborted, "resumed": ErrResumed}

// Refusal is why the service did not do what it was asked for, in its own words.
type Refusal struct {
	Code    wire.Code
	Outcome string // of the handover, if one began: aborted or resumed
	Attempt uint32 // its number; of the one under way, if the service is busy; 0 if unknown
	Reason  string
}

func (r *Refusal) Error() string {
	if r.Reason != "" {
		return r.Reason
	}
	return strings.TrimSpace(r.Outcome + " " + string(r.Code))
}

// Is makes errors.Is find the sentinels of the refusal's class and outcome.
func (r *Refusal) Is(target error) bool {
	return target != nil && (target == classes[r.Code] || target == outcomes[r.Outcome])
}

// AmbiguousError: no service was named, and there are several.
type AmbiguousError struct {
	Dir   string
	Names []string // sorted
}

func (e *AmbiguousError) Error() string {
	names := slices.Clone(e.Names)
	for i, n := range names {
		names[i] = fmt.Sprintf("%q", n)
	}
	return fmt.Sprintf("several services in %s: %s", e.Dir, strings.Join(names, ", "))
}
