// Package preflight examines a build before it is started.
//
// It promises that what a look at the file and at the machine can tell is told while it costs nobody anything: a build
// that is missing, cut short, of another kind than the incumbent's, another service's, or that the machine has no room
// for, is refused with an error that names the file, what is wrong, and what to do. No process is started, nothing is
// written, and every read is bounded, whatever the file claims about itself.
//
// What was examined can be replaced before it is started. Who wants to start exactly what was examined keeps a copy
// (package builds) and has the copy examined.
//
// The checks of ELF, of memory and of descriptors are Linux's; elsewhere a file's format and build information are compared.
package preflight

import (
	"os"
	"path/filepath"

	"github.com/handover-go/handover/internal/platform"
)

// Report is what was found out about a build that is fit to be started, and as far as it came, about one that is not.
type Report struct {
	Path     string // absolute, links followed
	Size     int64  // bytes
	Kind     Kind
	Build    GoBuild // zero if the file has no build information
	Memory   Memory
	Warnings []Finding // what may be meant, and should be known
}

// Check examines the build at path, which is to follow the incumbent. An error is an *Unfit, which is ErrUnfit and lists
// every finding, not just the first; the report tells the rest.
func Check(path string, incumbent Reference) (Report, error) {
	e := &examination{path: path, report: Report{Path: resolve(path)}}
	e.compareWith(incumbent)
	e.checkFile()
	e.checkMachine()
	if len(e.faults) > 0 {
		return e.report, &Unfit{Path: path, Findings: e.faults}
	}
	return e.report, nil
}

// examination is one Check: what is known so far.
type examination struct {
	path      string // as given
	report    Report
	faults    []Finding
	incumbent facts
	loads     int64 // bytes of the file that the kernel maps to start it
}

// checkFile goes on for as long as a further look can tell something of its own.
func (e *examination) checkFile() {
	f, err := platform.OpenRegular(e.path)
	if err != nil {
		e.faults = append(e.faults, unopened(e.path, err))
		return
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		e.fault("cannot be examined: "+err.Error(), "see to its file system")
		return
	}
	e.report.Size = before.Size()
	e.checkAccess(f, before)
	if before.Size() == 0 {
		e.fault("is empty", "copy the build there again")
		return
	}
	e.checkKind(f)
	e.checkBuild(f)
	after, err := f.Stat()
	if err != nil || after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
		e.fault("changed while it was examined", "wait until it is written, or rename it into its place once it is")
	}
}

// fault notes what keeps the build from being started.
func (e *examination) fault(what, do string) {
	e.faults = append(e.faults, Finding{Where: e.path, What: what, Do: do})
}

func (e *examination) warn(what, do string) {
	e.report.Warnings = append(e.report.Warnings, Finding{Where: e.path, What: what, Do: do})
}

// resolve returns the path for people to read. A link of /proc that leads to a deleted file resolves to itself.
func resolve(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	} else if target, err := os.Readlink(path); err == nil && filepath.IsAbs(target) {
		path = target
	}
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}
