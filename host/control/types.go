package control

import (
	"time"

	"github.com/handover-go/handover/host/audit"
)

// The names of fields, their JSON keys and the words that they hold are promises. Clients ignore keys that they do not know.

// Service is how a service is.
type Service struct {
	Name        string       `json:"name"`
	State       string       `json:"state"`                // stopped, starting, running, upgrading, baking, returning or failed
	Paused      bool         `json:"paused"`               // no upgrade begins, and one under way is not kept, until it is resumed
	Version     string       `json:"version,omitempty"`    // of the release that serves
	Release     string       `json:"release,omitempty"`    // its ID; absent if what serves is no release
	Generation  int          `json:"generation,omitempty"` // that serves; absent if none does
	PID         int          `json:"pid,omitempty"`        // of that generation
	Started     *time.Time   `json:"started,omitempty"`    // when that generation was started
	Restarts    int          `json:"restarts"`             // after deaths, in the life of the keeper
	Connections int          `json:"connections"`          // established, of all generations
	InFlight    *int64       `json:"in_flight,omitempty"`  // requests that are being answered, by all generations; absent where they are not counted
	Health      string       `json:"health"`               // good, bad or unknown
	Reason      string       `json:"reason,omitempty"`     // why it is not running, or not healthy
	Keeper      *Process     `json:"keeper,omitempty"`     // absent if none answers
	Draining    []Generation `json:"draining,omitempty"`   // oldest first
	Upgrade     *Upgrade     `json:"upgrade,omitempty"`    // the one under way, else the last
}

// Process is a process of handover itself.
type Process struct {
	PID     int    `json:"pid"`
	Version string `json:"version,omitempty"`
}

// Generation is one process of a service.
type Generation struct {
	Generation  int  `json:"generation"`
	PID         int  `json:"pid"`
	Connections *int `json:"connections,omitempty"` // established; absent where they are not counted
}

// Upgrade is one upgrade, rollback, return or restart of a service, under way or over.
type Upgrade struct {
	ID       string     `json:"id"` // SERVICE/NUMBER
	Service  string     `json:"service"`
	Number   uint64     `json:"number"`         // from 1, by service
	Kind     string     `json:"kind"`           // upgrade, rollback, return or restart
	From     string     `json:"from,omitempty"` // release ID, or file
	To       string     `json:"to,omitempty"`   // release ID, or file
	By       string     `json:"by"`             // who asked for it
	Began    time.Time  `json:"began"`
	Ended    *time.Time `json:"ended,omitempty"` // absent while it is under way
	State    string     `json:"state"`           // planned, staging, asking, switching, proving, baking, returning; in the end kept, returned, refused, aborted, resumed or failed
	Reason   string     `json:"reason,omitempty"`
	Steps    []Step     `json:"steps"`
	Evidence []Evidence `json:"evidence,omitempty"`
	Lost     int        `json:"lost"`                // connections
	ReadyUs  int64      `json:"ready_us,omitempty"`  // from start to ready, in microseconds
	SwitchUs int64      `json:"switch_us,omitempty"` // in which nobody accepted, in microseconds
	BakeEnds *time.Time `json:"bake_ends,omitempty"` // while it is baking
}

// Over reports whether the upgrade has ended.
func (u Upgrade) Over() bool { return u.Ended != nil }

// Step is one step of an upgrade.
type Step struct {
	State  string    `json:"state"`
	At     time.Time `json:"at"`
	Detail string    `json:"detail,omitempty"`
}

// Evidence is one test that a verdict stands on.
type Evidence struct {
	Test    string  `json:"test"`              // such as errors, latency, rss, or the name of a check
	Value   float64 `json:"value"`             // of the build that is judged
	Against float64 `json:"against,omitempty"` // of the one before
	Limit   float64 `json:"limit,omitempty"`
	P       float64 `json:"p,omitempty"`     // of a statistical test, from 0 to 1
	Alpha   float64 `json:"alpha,omitempty"` // the largest p that fails

	Detectable float64 `json:"detectable,omitempty"` // the smallest share of errors that would have failed: how much a pass is worth

	N       uint64 `json:"n,omitempty"` // observations that it stands on
	Outcome string `json:"outcome"`     // pass, fail or inconclusive
	Detail  string `json:"detail,omitempty"`
}

// UpgradeRequest names at most one of release, source and binary; with none of them the service's configured source is taken.
type UpgradeRequest struct {
	Release    string `json:"release,omitempty"`     // ID, version or unique prefix of one on the host
	Source     string `json:"source,omitempty"`      // path or URL of an artifact
	Binary     string `json:"binary,omitempty"`      // path of a program on the host, which is no release; takes an admin
	AllowOlder bool   `json:"allow_older,omitempty"` // than the last committed one; takes an admin
	Key        string `json:"key,omitempty"`         // of idempotency: a second request with the same one gets the answer of the first
	Wait       bool   `json:"wait,omitempty"`        // answer when it is over; it goes on if the client leaves
}

// RollbackRequest goes back by a handover.
type RollbackRequest struct {
	To   string `json:"to,omitempty"`   // release: ID, version or unique prefix; empty: the one before
	Key  string `json:"key,omitempty"`  // of idempotency
	Wait bool   `json:"wait,omitempty"` // answer when it is over; it goes on if the client leaves
}

// ReasonRequest says why, for those who look later.
type ReasonRequest struct {
	Reason string `json:"reason,omitempty"`
}

// Plan is what an upgrade would do.
type Plan struct {
	Service  string   `json:"service"`
	From     string   `json:"from,omitempty"`
	To       string   `json:"to,omitempty"`
	Steps    []string `json:"steps"`
	Warnings []string `json:"warnings,omitempty"`
	Refused  string   `json:"refused,omitempty"` // why it would be refused; absent if it would begin
}

// Release is one release of a service on the host.
type Release struct {
	ID        string     `json:"id"`
	Version   string     `json:"version"`
	Created   time.Time  `json:"created"`
	Expires   *time.Time `json:"expires,omitempty"`
	Signer    string     `json:"signer,omitempty"` // ID of the key; absent if it is unsigned
	Current   bool       `json:"current"`          // what a start would start
	Committed bool       `json:"committed"`        // it was kept by an upgrade once
}

// Event is something that happened.
type Event struct {
	ID      uint64    `json:"id"` // rises, also over an agent's restart
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"` // the agent's own, or gap (events before this one are gone) or cut (the reader was too slow)
	Service string    `json:"service,omitempty"`
	Upgrade string    `json:"upgrade,omitempty"` // ID
	Detail  string    `json:"detail,omitempty"`
}

// Agent is how the agent is.
type Agent struct {
	PID      int       `json:"pid"`
	Version  string    `json:"version"`
	Started  time.Time `json:"started"`
	Config   string    `json:"config"`   // path
	Loaded   time.Time `json:"loaded"`   // when the configuration was read
	Services int       `json:"services"` // configured
	Role     string    `json:"role"`     // of the caller
}

// Reload is what a reload has changed, by the names of services.
type Reload struct {
	Added    []string `json:"added,omitempty"`
	Removed  []string `json:"removed,omitempty"`
	Changed  []string `json:"changed,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

// AuditPage is a part of the audit log.
type AuditPage struct {
	Records []audit.Record `json:"records"` // oldest first
	Head    audit.Head     `json:"head"`    // the last record of the log: noted elsewhere, it is what the log can be held to
}
