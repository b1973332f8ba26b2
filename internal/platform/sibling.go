package platform

import (
	"fmt"
	"os/exec"
)

// StartSibling starts cmd as a child of this process's own parent (CLONE_PARENT in clone(2)), which reaps it, and returns
// its pidfd. cmd must not be waited for. systemd supervises a main process in full only if it is its own child.
func StartSibling(cmd *exec.Cmd) (*Pidfd, error) {
	fd, err := startSibling(cmd)
	if err != nil {
		return nil, err
	}
	p, err := PidfdFromFD(fd)
	if err != nil {
		return nil, fmt.Errorf("start %s as a sibling: %w", cmd.Path, err)
	}
	return p, nil
}
