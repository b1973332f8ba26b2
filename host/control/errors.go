package control

import (
	"context"
	"errors"
	"net/http"
)

// What can come of a request. A Backend wraps these, and errors.Is finds them again in what Client returns.
var (
	ErrInvalid        = errors.New("invalid request")
	ErrDenied         = errors.New("denied")
	ErrUnknownService = errors.New("unknown service")
	ErrUnknownUpgrade = errors.New("unknown upgrade")
	ErrUnknownRelease = errors.New("unknown release")
	ErrNoRoute        = errors.New("no such route")
	ErrBusy           = errors.New("busy")                       // something else is under way
	ErrConflict       = errors.New("not in this state")          // as a promotion of what is over
	ErrRefused        = errors.New("release refused")            // before anything was started
	ErrVetoed         = errors.New("vetoed by a hook")           // nor here
	ErrAborted        = errors.New("upgrade aborted")            // before its commit
	ErrResumed        = errors.New("new build taken back")       // in probation
	ErrReturned       = errors.New("returned to the one before") // in the bake time
	ErrFailed         = errors.New("failed")
	ErrDeadline       = errors.New("too late")
	ErrUnsupported    = errors.New("not supported")
	ErrUnavailable    = errors.New("agent is ending") // what was asked for goes on, if it had begun
)

// ErrNoAgent: no agent answers at the address, or it has ended before it had answered: then what was asked for may have happened. It is
// said by Client alone.
var ErrNoAgent = errors.New("no agent answers")

// classes are all that an answer's code can be. The first that errors.Is finds holds, so the more special comes first.
var classes = []struct {
	code   string
	is     error
	status int
	next   string
}{
	{"invalid", ErrInvalid, http.StatusBadRequest, "see GET /v1/openapi.json for what the route takes"},
	{"denied", ErrDenied, http.StatusForbidden, "ask as a user who has the role, or have an administrator add this one to the agent's access lists"},
	{"unknown-service", ErrUnknownService, http.StatusNotFound, "see GET /v1/services for the services of this host"},
	{"unknown-upgrade", ErrUnknownUpgrade, http.StatusNotFound, "see the history of the service"},
	{"unknown-release", ErrUnknownRelease, http.StatusNotFound, "see the releases of the service"},
	{"no-route", ErrNoRoute, http.StatusNotFound, "see GET /v1/openapi.json for the routes there are"},
	{"busy", ErrBusy, http.StatusConflict, "wait until what is under way is over, or abort it"},
	{"conflict", ErrConflict, http.StatusConflict, "look at the state of the service first"},
	{"refused", ErrRefused, http.StatusUnprocessableEntity, "give a release that this host accepts; the service goes on as it was"},
	{"vetoed", ErrVetoed, http.StatusConflict, "ask whoever runs the hook; the service goes on as it was"},
	{"resumed", ErrResumed, http.StatusConflict, "the build before serves; see the evidence and the log of the service for what the new one did wrong"},
	{"returned", ErrReturned, http.StatusConflict, "the release before serves; see the evidence and the log of the service for what the new one did wrong"},
	{"aborted", ErrAborted, http.StatusConflict, "the service goes on as it was; see its log for what the new build did wrong"},
	{"deadline", ErrDeadline, http.StatusGatewayTimeout, "look at the service for how it stands, and at its log for what takes so long"},
	{"deadline", context.DeadlineExceeded, http.StatusGatewayTimeout, "look at the service for how it stands, and at its log for what takes so long"},
	{"unsupported", ErrUnsupported, http.StatusNotImplemented, "use an agent and a keeper of a later version"},
	{"unavailable", ErrUnavailable, http.StatusServiceUnavailable, "ask again when the agent is back; what was begun goes on"},
	{"failed", ErrFailed, http.StatusInternalServerError, "see the log of the agent"},
}

// Error is the body of every answer that is no success.
type Error struct {
	Code    string   `json:"code"`
	Message string   `json:"message"`           // what failed
	Next    string   `json:"next,omitempty"`    // what to do
	Upgrade *Upgrade `json:"upgrade,omitempty"` // that has ended this way
	Status  int      `json:"-"`                 // of HTTP
}

func (e *Error) Error() string { return e.Message }

// Is makes errors.Is find the sentinel of the code.
func (e *Error) Is(target error) bool {
	for _, c := range classes {
		if c.code == e.Code && c.is == target {
			return true
		}
	}
	return false
}

// errorOf is an error as an answer. One that has no class is a failure.
func errorOf(err error) *Error {
	var own *Error
	if !errors.As(err, &own) {
		own = &Error{}
	}
	e := *own
	if e.Message = err.Error(); e.Message == "" {
		e.Message = e.Code
	}
	for _, c := range classes {
		if e.Code == c.code || e.Code == "" && errors.Is(err, c.is) {
			e.fill(c.code, c.next, c.status)
			return &e
		}
	}
	e.fill("failed", "see the log of the agent", http.StatusInternalServerError)
	return &e
}

func (e *Error) fill(code, next string, status int) {
	e.Code, e.Status = code, status
	if e.Next == "" {
		e.Next = next
	}
}

// ends says how an upgrade ended that was not kept.
var ends = map[string]error{"aborted": ErrAborted, "resumed": ErrResumed, "returned": ErrReturned, "failed": ErrFailed, "refused": ErrRefused}

// Err is nil if the upgrade was kept or is under way, and says else how it ended: ErrRefused, ErrAborted, ErrResumed, ErrReturned, ErrFailed.
func (u Upgrade) Err() error {
	end, ok := ends[u.State]
	if !ok || u.Kind == "return" && u.State == "returned" {
		return nil
	}
	e := errorOf(end)
	if u.Reason != "" {
		e.Message += ": " + u.Reason
	}
	e.Message, e.Upgrade = u.ID+": "+e.Message, &u
	return e
}
