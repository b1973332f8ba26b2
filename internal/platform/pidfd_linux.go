package platform

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func openPidfd(pid int) (int, error) {
	fd, err := unix.PidfdOpen(pid, 0) // close-on-exec by definition
	if err != nil {
		return -1, os.NewSyscallError("pidfd_open", err)
	}
	return fd, nil
}

// preparePidfd checks that fd is a pidfd and makes it fit for the poller. The non-blocking mode is shared with whoever
// sent it, and means something to waitid(2) alone: of a child that lives it says EAGAIN then.
func preparePidfd(fd int) (pid int, err error) {
	if pid, err = fdinfoPid(fd); err != nil {
		return 0, err
	}
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		return 0, os.NewSyscallError("fcntl", err)
	}
	return pid, nil
}

// fdinfoPid reads the "Pid:" line, which only pidfds have (proc_pid_fdinfo(5)).
func fdinfoPid(fd int) (int, error) {
	info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(info)) {
		if value, ok := strings.CutPrefix(line, "Pid:"); ok {
			return strconv.Atoi(strings.TrimSpace(value))
		}
	}
	return 0, errors.New("it is not a pidfd")
}

func pidfdDead(fd int) (bool, error) { return pollNow(fd, unix.POLLIN) }

const killSignal = int(unix.SIGKILL)

func pidfdSignal(fd, signal int) error {
	err := unix.PidfdSendSignal(fd, unix.Signal(signal), nil, 0)
	if err == unix.ESRCH {
		return nil
	}
	return os.NewSyscallError("pidfd_send_signal", err)
}
