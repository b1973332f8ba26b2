//go:build unix

package demo

import (
	"os/exec"
	"syscall"
)

// apart puts the service into a process group of its own: an interrupt from the terminal is the demo's, which ends its clients
// first.
var apart = &syscall.SysProcAttr{Setpgid: true}

const upgradeSignal = syscall.SIGUSR2

func killAll(c *exec.Cmd) { _ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
