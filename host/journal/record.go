package journal

import (
	"encoding/json"
	"time"
)

// Upgrade is one change of what runs: an upgrade, a rollback, a return or a restart, and how far it has come.
type Upgrade struct {
	Service string `json:"service"`
	Number  uint64 `json:"number"` // from 1 in each service, given by Begin; never given again
	Kind    string `json:"kind"`
	From    string `json:"from,omitempty"` // the release, or the digest of the file, that ran before
	To      string `json:"to,omitempty"`
	By      string `json:"by,omitempty"`  // who asked
	Key     string `json:"key,omitempty"` // of who asked, so that asking again begins nothing anew

	Began time.Time `json:"began"`
	Ended time.Time `json:"ended,omitzero"` // zero while it is under way

	State    string          `json:"state"`            // that of the last step
	Reason   string          `json:"reason,omitempty"` // why it ended as it did
	Steps    []Step          `json:"steps,omitempty"`  // in the order in which they were recorded
	Evidence json.RawMessage `json:"evidence,omitempty"`

	BakeUntil time.Time `json:"bake_until,omitzero"` // when the bake time ends

	Lost     int   `json:"lost,omitempty"`      // connections
	ReadyUs  int64 `json:"ready_us,omitempty"`  // from the successor's start until it was ready
	SwitchUs int64 `json:"switch_us,omitempty"` // in which nobody accepted
}

// Step is one thing that was about to be done.
type Step struct {
	State  string    `json:"state"`
	At     time.Time `json:"at"`
	Detail string    `json:"detail,omitempty"`
}

// Process is one process in the life of a machine: a number alone may have been given to another since, and both number and time to one
// of a later boot.
type Process struct {
	PID       int    `json:"pid,omitempty"`
	StartTime uint64 `json:"start_time,omitempty"` // in clock ticks since boot, as field 22 of /proc/PID/stat (proc_pid_stat(5))
	Boot      string `json:"boot,omitempty"`       // which boot that is, filled in by SetDesired; empty where it is not known
}

// Desired is what a service should be, as a person or the configuration has last said.
type Desired struct {
	Service string  `json:"service"`
	Running bool    `json:"running"`
	Paused  bool    `json:"paused,omitempty"`  // no upgrade begins, and one under way is not kept
	Release string  `json:"release,omitempty"` // that it should run
	Keeper  Process `json:"keeper,omitzero"`   // that was started for it last; zero if that was in an earlier boot
}

// over reports whether an upgrade is under way no more.
func (u *Upgrade) over() bool { return !u.Ended.IsZero() }
