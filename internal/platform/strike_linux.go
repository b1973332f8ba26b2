//go:build handoverfault

package platform

import (
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Strike sends a signal to this thread: it takes effect before this call returns. Sent to the process, as os.Process does, it may
// meet another thread first, and this one goes on for a while.
func Strike(s syscall.Signal) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return unix.Tgkill(unix.Getpid(), unix.Gettid(), s)
}
