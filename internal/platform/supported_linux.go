package platform

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func supported() error {
	// No process has pid -1, so a kernel that knows the call answers EINVAL; one before 5.3 says ENOSYS, and the
	// seccomp profiles of older container runtimes EPERM.
	if _, err := unix.PidfdOpen(-1, 0); err == unix.ENOSYS || err == unix.EPERM {
		return fmt.Errorf("handovers on linux need pidfd_open (kernel 5.3, allowed by seccomp): %w: %w", err, errors.ErrUnsupported)
	}
	if _, err := os.Stat("/proc/self/fdinfo"); err != nil {
		return fmt.Errorf("handovers on linux need /proc: %w: %w", err, errors.ErrUnsupported)
	}
	return nil
}
