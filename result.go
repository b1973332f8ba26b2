package handover

import "time"

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
