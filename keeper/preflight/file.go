package preflight

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"syscall"

	"github.com/handover-go/handover/internal/platform"
)

// unopened says why the file could not even be opened.
func unopened(path string, err error) Finding {
	f := Finding{Where: path, Err: err}
	special, isSpecial := errors.AsType[*platform.NotRegular](err)
	target, linkErr := os.Readlink(path)
	switch {
	case isSpecial:
		f.What = "is " + special.Kind + ", not a regular file"
		f.Do = "give the path of the executable itself"
	case errors.Is(err, fs.ErrNotExist) && linkErr == nil:
		f.What = fmt.Sprintf("is a link to %q, which leads nowhere", target)
		f.Do = "deploy the build there, or set the link right"
	case errors.Is(err, fs.ErrNotExist):
		f.What = "does not exist"
		f.Do = "deploy the build there, or set the path right"
	case errors.Is(err, fs.ErrPermission):
		f.What = fmt.Sprintf("may not be read by uid %d", os.Geteuid())
		f.Do = "make the file readable (chmod a+r), and its directories searchable (chmod a+x)"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		f.What = "cannot be opened: " + err.Error()
		f.Do = "raise the limit of open files (LimitNOFILE= or ulimit -n)"
	default:
		f.What = "cannot be opened: " + err.Error()
		f.Do = "give the path of a regular file that can be read"
	}
	return f
}

func (e *examination) checkAccess(f *os.File, info fs.FileInfo) {
	if err := executable(e.path, info); err != nil {
		what, do := fmt.Sprintf("may not be executed by uid %d", os.Geteuid()), "run chmod a+x on it"
		if no, err := platform.NoExec(e.path); err == nil && no {
			what, do = "is on a file system mounted noexec", "deploy it elsewhere, or mount that with exec"
		}
		e.faults = append(e.faults, Finding{Where: e.path, What: what, Do: do, Err: err})
	}
	// Where the kernel does not tell, executing the file fails with ETXTBSY, which costs nobody anything either.
	if writers, err := platform.BeingWritten(f); err == nil && writers {
		e.faults = append(e.faults, Finding{
			Where: e.path, What: "is being written", Err: syscall.ETXTBSY,
			Do: "wait until it is written, or better, write it beside and rename it",
		})
	}
	e.checkPrivileges(f, info)
}

func executable(path string, info fs.FileInfo) error {
	err := platform.CanExecute(path)
	if !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o111 == 0 {
		return fs.ErrPermission
	}
	return nil
}

// checkPrivileges warns of what the service will have, or lack, other than the incumbent: most often the right to listen on
// port 80, since copying a file drops its capabilities.
func (e *examination) checkPrivileges(f *os.File, info fs.FileInfo) {
	if !e.incumbent.known {
		return
	}
	mine, theirs := privilegesOf(f, info), e.incumbent.privileges
	if mine.setID != theirs.setID {
		e.warn(fmt.Sprintf("has set-id bits %v, the incumbent %v", mine.setID, theirs.setID), "set them as they are meant with chmod u+s, g+s or -s")
	}
	if !bytes.Equal(mine.capabilities, theirs.capabilities) {
		e.warn("has other file capabilities than the incumbent", "compare both with getcap, and set them with setcap")
	}
}

// privileges are what a process gets by executing a file.
type privileges struct {
	setID        fs.FileMode
	capabilities []byte
}

func privilegesOf(f *os.File, info fs.FileInfo) privileges {
	capabilities, _ := platform.FileCapabilities(f) // what cannot be read of either file is no difference
	return privileges{info.Mode() & (fs.ModeSetuid | fs.ModeSetgid), capabilities}
}
