package platform

import (
	"fmt"
	"os"
	"syscall"
)

// OpenRegular opens a regular file for reading; links are followed. Anything else is an error without having been opened:
// a named pipe would make the caller wait, and some devices act on being opened.
func OpenRegular(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &os.PathError{Op: "open", Path: path, Err: notRegular(info.Mode())}
	}
	// A pipe that took the file's place meanwhile does not make this wait.
	f, err := os.OpenFile(path, os.O_RDONLY|openWithoutWaiting, 0)
	if err != nil {
		return nil, err
	}
	info, err = f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &os.PathError{Op: "open", Path: path, Err: notRegular(info.Mode())}
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// NotRegular is the error of OpenRegular for what is not a regular file.
type NotRegular struct {
	Kind string // "a directory", "a named pipe", "a device", "a socket", "a special file"
}

func (e *NotRegular) Error() string { return "it is " + e.Kind + ", not a regular file" }

func notRegular(mode os.FileMode) error {
	kind := "a special file"
	switch {
	case mode.IsDir():
		kind = "a directory"
	case mode&os.ModeNamedPipe != 0:
		kind = "a named pipe"
	case mode&os.ModeDevice != 0:
		kind = "a device"
	case mode&os.ModeSocket != 0:
		kind = "a socket"
	}
	return &NotRegular{kind}
}

// CanExecute reports by nil that this process, by its effective ids, may execute the file at path: mode bits, access lists,
// and the mount (faccessat(2) with AT_EACCESS). A refusal is fs.ErrPermission.
func CanExecute(path string) error {
	if err := canExecute(path); err != nil {
		return fmt.Errorf("check execution of %q: %w", path, err)
	}
	return nil
}

// NoExec reports whether path is on a file system that is mounted noexec.
func NoExec(path string) (bool, error) {
	no, err := noExec(path)
	if err != nil {
		return false, fmt.Errorf("examine the mount of %q: %w", path, err)
	}
	return no, nil
}

// BeingWritten reports whether any process has the file open for writing, so that executing it would fail with ETXTBSY.
// f must be open for reading only. The kernel tells those who may take a lease: the owner of the file and CAP_LEASE, on
// file systems that have leases; for all others it is an error. A process that opens the file for writing in the
// instant of the question waits until it is answered.
func BeingWritten(f *os.File) (bool, error) {
	writers, err := beingWritten(f)
	if err != nil {
		return false, fmt.Errorf("ask who writes %q: %w", f.Name(), err)
	}
	return writers, nil
}

// FileCapabilities returns the file's capabilities as the kernel stores them (security.capability), nil for none.
func FileCapabilities(f *os.File) ([]byte, error) {
	p, err := fileCapabilities(f)
	if err != nil {
		return nil, fmt.Errorf("read capabilities of %q: %w", f.Name(), err)
	}
	return p, nil
}

// DuplicateHigh returns another descriptor of f, close-on-exec, whose number is so high that the descriptors which a
// child is given as it is started do not take its place: 4096 and above, or above half the limit. The caller owns it.
func DuplicateHigh(f *os.File) (int, error) {
	fd, err := duplicateHigh(f)
	if err != nil {
		return -1, fmt.Errorf("duplicate descriptor of %q: %w", f.Name(), err)
	}
	return fd, nil
}

// CloseWritten closes a file that was written and is to be executed. A child that is being forked would hold it open for
// writing until it executes, and executing the file would fail with ETXTBSY (golang/go#22315), so this waits for that.
func CloseWritten(f *os.File) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return f.Close()
}

// PrivateDir makes a directory with mode 0700 if it is missing. What stands there must be a directory and no link, be owned
// by this process's effective user, and have mode 0700; otherwise the error says what to do.
func PrivateDir(dir string) error { return privateDir(dir) }
