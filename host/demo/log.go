package demo

import (
	"encoding/json"
	"time"
)

// Messages of the service's log that tell how a handover goes. All but crashing are the library's.
const (
	serving     = "serving"                                               // a generation that nobody stands by: the first, and the one after a death
	begun       = "handover begins: the keeper has started the successor" // the incumbent, with the successor's pid
	final       = "handover final"                                        // the incumbent
	succeeded   = "serving: the handover is final"                        // the successor, which can be replaced from now on
	aborted     = "handover aborted: this generation serves on"           // the incumbent
	resumed     = "successor taken back: this generation serves again"    // the incumbent
	unhealthy   = "check of the successor failed"                         // the incumbent
	returns     = "taken back by the incumbent"                           // a successor that lives, and drains from now on
	gone        = "draining generation is gone"                           // any other
	notAccepted = "upgrade signal: no handover begins"                    // whoever was asked
	crashing    = "crashing"                                              // a build that does
)

var told = map[string]bool{
	serving: true, begun: true, final: true, succeeded: true, aborted: true, resumed: true,
	unhealthy: true, returns: true, gone: true, notAccepted: true, crashing: true,
}

// entry is a line of the service's log.
type entry struct {
	Time       time.Time     `json:"time"`
	Message    string        `json:"msg"`
	Build      string        `json:"build"` // who wrote it
	PID        int           `json:"pid"`
	Generation int           `json:"generation"`
	Switch     time.Duration `json:"switch"`
	Error      string        `json:"error"`
}

// parseEntry reports false for what tells nothing of a handover, such as the trace of a panic.
func parseEntry(line []byte) (e entry, ok bool) {
	err := json.Unmarshal(line, &e)
	return e, err == nil && told[e.Message]
}
