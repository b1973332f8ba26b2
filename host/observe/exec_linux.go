package observe

import (
	"context"
	"errors"
	"os/exec"

	"golang.org/x/sys/unix"
)

// runGroup runs a program, whose SysProcAttr is its own, in a process group of its own until it ends or ctx does, and leaves nothing of the group alive.
//
// The group is killed while its leader is a zombie: as long as that is not reaped, its number cannot be another group's.
func runGroup(ctx context.Context, program *exec.Cmd) error {
	program.SysProcAttr.Setpgid = true
	if err := program.Start(); err != nil {
		return err
	}
	pid := program.Process.Pid
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for errors.Is(unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
		}
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
	_ = unix.Kill(-pid, unix.SIGKILL)
	<-ended
	return program.Wait()
}
