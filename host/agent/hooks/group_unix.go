//go:build unix

package hooks

import (
	"errors"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// group puts a program into a process group of its own, all of which is killed when its time is over.
func group(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} //nolint:forbidigo // a field, and no call
	cmd.Cancel = func() error {
		// The group outlives its first process for as long as it has others. If it has none, its number is free when that one was waited for; that
		// the number is another group's already, microseconds later, is accepted: the kernel gives numbers in turn.
		err := unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
		if errors.Is(err, unix.ESRCH) {
			return os.ErrProcessDone
		}
		return err
	}
}
