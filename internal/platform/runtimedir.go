package platform

import (
	"errors"
	"fmt"
)

// ErrLocked: another holder, in this process or in another, has the lock.
var ErrLocked = errors.New("locked by another process")

// RuntimeDir returns the directory of takeover sockets, absolute, and makes it if it is missing. It is explicit (what
// $HANDOVER_RUNTIME_DIR says) or, if that is empty, $XDG_RUNTIME_DIR/handover, else /run/handover for root, else
// handover-<uid> in the temporary directory.
//
// Whoever can write there can take the service over, so it must be a directory and no link, be owned by this process's
// effective user, and have mode 0700; otherwise the error says what to do.
func RuntimeDir(explicit string) (string, error) { return runtimeDir(explicit) }

// FindRuntimeDir says which directory RuntimeDir would return, and neither makes nor judges it.
func FindRuntimeDir(explicit string) (string, error) { return findRuntimeDir(explicit) }

// Lock takes the advisory lock (flock(2)) on the file at path, which it makes with mode 0600 if it is missing. It never
// waits: a lock that is held answers ErrLocked. unlock may be called more than once; so does the end of the process
// unlock. The file stays, as removing it would let two processes lock two files of the same name.
func Lock(path string) (unlock func(), err error) {
	if unlock, err = lock(path); err != nil {
		return nil, fmt.Errorf("lock %q: %w", path, err)
	}
	return unlock, nil
}

// LockDir is Lock on a directory itself: nothing is made in it.
func LockDir(path string) (unlock func(), err error) {
	if unlock, err = lockDir(path); err != nil {
		return nil, fmt.Errorf("lock %q: %w", path, err)
	}
	return unlock, nil
}
