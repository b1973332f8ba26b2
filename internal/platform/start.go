package platform

import (
	"fmt"
	"os/exec"
)

// Start starts cmd, and returns its pidfd. cmd must not be waited for: the child is to be reaped by Reap. On a terminal it is in
// a process group of its own: an interrupt from the keyboard is for its parent alone, which passes it on.
func Start(cmd *exec.Cmd) (*Pidfd, error) { return started(cmd, 0) }

// StartSibling starts cmd as a child of this process's own parent (CLONE_PARENT in clone(2)), which reaps it, and returns
// its pidfd. cmd must not be waited for. systemd supervises a main process in full only if it is its own child.
func StartSibling(cmd *exec.Cmd) (*Pidfd, error) { return started(cmd, cloneParent) }

func started(cmd *exec.Cmd, flags uintptr) (*Pidfd, error) {
	fd, err := spawn(cmd, flags)
	if err != nil {
		return nil, err
	}
	p, err := PidfdFromFD(fd)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return p, nil
}
