package handover

import (
	"time"

	"github.com/handover-go/handover/internal/wire"
)

// Outcome is how a handover ended.
type Outcome string

// The outcomes of a handover.
const (
	// Final: the successor serves.
	Final Outcome = "final"
	// Aborted before the commit: the successor never served.
	Aborted Outcome = "aborted"
	// Resumed after the commit: the successor was taken back, or died, and the incumbent serves again.
	Resumed Outcome = "resumed"
)

// Result tells how a handover went.
type Result struct {
	// Attempt is the number of the handover, from 1 within one life of the service.
	Attempt int
	Outcome Outcome
	// Generation and PID are of the process that serves now.
	Generation int
	PID        int
	// Build of the successor, as it named itself; empty if it never spoke.
	Build string
	// Ready is the time from the start of the successor until it declared itself ready, Switch from the moment the incumbent
	// stopped accepting until the successor accepted, Total until the outcome. Zero where it did not come to that.
	Ready, Switch, Total time.Duration
	// LostConnections is how many connections a successor that died after the commit had at its last sign of life. They are
	// what the handover cost.
	LostConnections int
}

// reply puts the end of a handover on a link.
func (e ended) reply() *wire.Reply {
	r := &wire.Reply{
		Attempt: uint32(e.result.Attempt), Outcome: string(e.result.Outcome), Generation: e.result.Generation, PID: e.result.PID,
		Build: e.result.Build, ReadyUs: e.result.Ready.Microseconds(), SwitchUs: e.result.Switch.Microseconds(),
		TotalUs: e.result.Total.Microseconds(), Lost: e.result.LostConnections,
	}
	if e.err != nil {
		r.Error, r.Code = e.err.Error(), e.code
	}
	return r
}

// endedBy takes it off a link again.
func endedBy(r *wire.Reply) ended {
	e := ended{result: Result{
		Attempt: int(r.Attempt), Outcome: Outcome(r.Outcome), Generation: r.Generation, PID: r.PID, Build: r.Build,
		Ready: time.Duration(r.ReadyUs) * time.Microsecond, Switch: time.Duration(r.SwitchUs) * time.Microsecond,
		Total: time.Duration(r.TotalUs) * time.Microsecond, LostConnections: r.Lost,
	}, code: r.Code}
	if r.Error != "" {
		e.err = refusal(&wire.Abort{Code: r.Code, Reason: r.Error})
	}
	return e
}
