package platform

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Conceal keeps this process's memory from its user's other processes, and out of core dumps (PR_SET_DUMPABLE, proc(5)). Programs that it executes
// begin without it. Before Linux 5.14 a process that is not root may not read /proc/self/fdinfo then, and cannot tell whose a pidfd is that it is given: there
// it stays as it was, and Conceal returns an error.
func Conceal() error {
	before, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err == nil {
		err = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	}
	if err != nil {
		return fmt.Errorf("conceal the process's memory: %w", err)
	}
	self, err := SelfPidfd()
	if err == nil {
		_, err = fdinfoPid(self.FD())
		err = errors.Join(err, self.Close())
	}
	if err != nil {
		_ = unix.Prctl(unix.PR_SET_DUMPABLE, uintptr(before), 0, 0, 0)
		return fmt.Errorf("a process whose memory is concealed cannot hand over (root can, and anybody from Linux 5.14 on): %w", err)
	}
	return nil
}
