// Package doctor examines a host for what would go wrong in a handover, and says how to mend it.
//
// It promises to change nothing, and to judge by what the kernel and systemd say of the services that run, or, where none
// runs, of a process started from here. Checks that need more than this user may see say so instead of passing.
package doctor

import (
	"context"

	"github.com/handover-go/handover/internal/wire"
)

// Verdict is how much a finding matters.
type Verdict string

// The verdicts, from good to bad.
const (
	OK   Verdict = "ok"
	Warn Verdict = "warn" // goes well until something else goes wrong, or grows
	Fail Verdict = "fail" // handovers fail, or lose what they should keep
)

// Finding is what one check has found.
type Finding struct {
	Check   string  `json:"check"`
	Verdict Verdict `json:"verdict"`
	Detail  string  `json:"detail"`         // what was found, and why it matters
	Mend    string  `json:"mend,omitempty"` // the command or setting that mends it
}

// Host is what is examined. All of it is given, so that a test can give it.
type Host struct {
	Root         string // before /proc, /sys and /run: empty but in tests
	UID          int    // effective, of this process
	PID          int    // of this process
	TempDir      string // of this user
	RuntimeDir   string // of takeover sockets, absolute; need not exist
	StateDir     string // of a keeper's builds, absolute; need not exist
	NotifySocket string // $NOTIFY_SOCKET of this process
	Services     []Service

	Supported func() error                         // of the platform
	NoExec    func(path string) (bool, error)      // whether a directory is mounted so
	Unit      func(context.Context, Unit) Settings // what systemd says of a unit; nil if it cannot be asked
}

// Service is a service that has a socket in the runtime directory, or was asked for by name.
type Service struct {
	Name   string
	Path   string              // of its socket
	Status *wire.ServiceStatus // nil if it did not answer
	Absent bool                // nobody answers
	Err    error               // why there is no status
}

// checks are all there are, in the order in which they are told.
var checks = []func(*Host, context.Context) []Finding{
	(*Host).kernel, (*Host).support, (*Host).firstProcess,
	(*Host).runtimeDir, (*Host).sockets, (*Host).stateDir,
	(*Host).descriptors, (*Host).processes, (*Host).tasks, (*Host).memory,
	(*Host).backlog, (*Host).reusePort, (*Host).datagrams, (*Host).tls,
	(*Host).systemd,
}

// Examine does every check. ctx bounds those that ask systemd.
func (h *Host) Examine(ctx context.Context) []Finding {
	var all []Finding
	for _, check := range checks {
		all = append(all, check(h, ctx)...)
	}
	return all
}

// Worst is the worst verdict of all.
func Worst(all []Finding) Verdict {
	worst := OK
	for _, f := range all {
		if f.Verdict == Fail || f.Verdict == Warn && worst == OK {
			worst = f.Verdict
		}
	}
	return worst
}

func well(check, detail string) []Finding { return []Finding{{check, OK, detail, ""}} }

func found(check string, v Verdict, detail, mend string) []Finding {
	return []Finding{{check, v, detail, mend}}
}
