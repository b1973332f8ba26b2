package platform

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

const cloneParent = syscall.CLONE_PARENT

func spawn(cmd *exec.Cmd, flags uintptr) (pidfd int, err error) {
	pidfd = -1
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, PidFD: &pidfd, Setpgid: flags != cloneParent && onTerminal()}
	if err := cmd.Start(); err != nil {
		return -1, err
	}
	pid := cmd.Process.Pid
	if err := cmd.Process.Release(); err != nil {
		return -1, fmt.Errorf("let go of process %d: %w", pid, err)
	}
	if pidfd < 0 { // a kernel without CLONE_PIDFD (before 5.2), below what Supported asks for
		return -1, os.NewSyscallError("clone", syscall.ENOSYS)
	}
	return pidfd, nil
}

// onTerminal reports whether this process was started in a terminal, which sends an interrupt to its whole process group.
func onTerminal() bool {
	_, err := unix.IoctlGetInt(0, unix.TIOCGPGRP)
	return err == nil
}
