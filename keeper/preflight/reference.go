package preflight

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/handover-go/handover/internal/platform"
)

// Reference is the incumbent that a build is to follow. The zero Reference is none: the first start of a service.
type Reference struct {
	// Path is the incumbent's executable as it was started: the kept copy, not the path of deployment, where the build to be
	// checked may stand by now. Empty, it is what process PID executes; for a script that is its interpreter, so give both.
	Path string

	// PID is the running incumbent, whose use of memory and descriptors is what its successor is expected to need; 0 if
	// none runs.
	PID int
}

// facts are what is known of the incumbent.
type facts struct {
	known      bool // there is one, and its executable could be read
	kind       Kind // without one, this process's own
	build      GoBuild
	privileges privileges
	pid        int
	resident   int64 // bytes
}

// program is the kind that a program must be of: where the incumbent is a script, this process's own.
func (f *facts) program() Kind {
	if f.kind.Format == Script {
		return ownKind()
	}
	return f.kind
}

func (f *facts) who() string {
	if f.known && f.kind.Format != Script {
		return "the incumbent"
	}
	return "this process"
}

// compareWith reads what there is to compare with. An incumbent that cannot be read, or is gone by now, is a warning: a build
// must not be refused for the state of the one that it replaces.
func (e *examination) compareWith(incumbent Reference) {
	e.incumbent = facts{kind: ownKind(), pid: incumbent.PID}
	if incumbent.PID != 0 {
		resident, err := residentOf(incumbent.PID)
		if err != nil && !errors.Is(err, errors.ErrUnsupported) {
			e.doubt(fmt.Sprintf("process %d", incumbent.PID), err)
		}
		e.incumbent.resident = resident
	}
	path := incumbent.Path
	if path == "" && incumbent.PID != 0 {
		path = procOf(incumbent.PID, "exe")
	}
	if path == "" {
		return
	}
	if err := e.incumbent.read(path); err != nil {
		e.doubt(path, err)
	}
}

func (e *examination) doubt(where string, err error) {
	e.report.Warnings = append(e.report.Warnings, Finding{
		Where: where, What: "cannot be compared with: " + err.Error(), Do: "make sure that the build is the right one", Err: err,
	})
}

func (f *facts) read(path string) error {
	file, err := platform.OpenRegular(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	kind, err := kindOf(file, info.Size())
	if err != nil {
		return err
	}
	if kind.Format == "" {
		return errors.New("it is neither a program nor a script")
	}
	f.known, f.kind, f.privileges = true, kind, privilegesOf(file, info)
	f.build, _ = ReadGoBuild(file, info.Size()) // not every program has it
	return nil
}

// ownKind is the kind of this process's executable.
func ownKind() Kind {
	unreadable := Kind{Format: native()}
	path, err := os.Executable()
	if err != nil {
		return unreadable
	}
	if _, err := os.Stat("/proc/self/exe"); err == nil {
		path = "/proc/self/exe" // which works when the name is gone
	}
	f, err := os.Open(path)
	if err != nil {
		return unreadable
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return unreadable
	}
	kind, err := kindOf(f, info.Size())
	if err != nil {
		return unreadable
	}
	return kind
}

// residentOf is the resident memory of a process in bytes (proc(5), statm).
func residentOf(pid int) (int64, error) {
	text, err := readSmall(procOf(pid, "statm"))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(text)
	if len(fields) < 2 {
		return 0, fmt.Errorf("statm is %q", text)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}

func procOf(pid int, name string) string { return filepath.Join("/proc", strconv.Itoa(pid), name) }

// readSmall reads a file of the kernel's, up to a bound far above what such a file has.
func readSmall(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	p, err := io.ReadAll(io.LimitReader(f, 1<<20))
	return string(p), err
}
