package platform

import (
	"fmt"
	"os"
)

// Exit is a child that was reaped.
type Exit struct {
	PID    int
	Code   int    // as a shell has it: the exit status, or 128 and the signal that ended it
	How    string // the same, for people
	Failed bool   // it ended with another status than 0, or by a signal
}

// Subreaper makes orphans among this process's descendants its own children (PR_SET_CHILD_SUBREAPER in prctl(2)), as they
// are of PID 1 anyway. Reap must be called whenever SIGCHLD comes.
func Subreaper() error { return os.NewSyscallError("prctl", subreaper()) }

// Reap takes the exit status of every child that has ended. It takes those of children that someone else started and waits
// for as well, so only a program that starts processes in no other way may call it.
func Reap() []Exit { return reap() }

// Inherit makes a descriptor survive Exec. It stays the caller's.
func Inherit(fd int) error { return os.NewSyscallError("fcntl", setCloseOnExec(fd, false)) }

// Disinherit undoes Inherit.
func Disinherit(fd int) error { return os.NewSyscallError("fcntl", setCloseOnExec(fd, true)) }

// Exec replaces this program by the one at path, in the same process. It returns only if that fails, and nothing has changed
// then.
func Exec(path string, args, env []string) error {
	return fmt.Errorf("execute %q: %w", path, execute(path, args, env))
}

// Sealed returns a descriptor of a file in memory that has the content data and can never change (memfd_create(2)). The caller
// owns it.
func Sealed(name string, data []byte) (*os.File, error) {
	f, err := sealed(name, data)
	if err != nil {
		return nil, fmt.Errorf("make file in memory: %w", err)
	}
	return f, nil
}
