package platform

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	openWithoutWaiting = unix.O_NONBLOCK | unix.O_NOCTTY

	highDescriptor = 4096

	// maxCapabilities is above the 24 bytes of the largest version (struct vfs_ns_cap_data).
	maxCapabilities = 64
)

func canExecute(path string) error {
	return unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS)
}

func noExec(path string) (bool, error) {
	var s unix.Statfs_t
	if err := ignoringEINTR(func() error { return unix.Statfs(path, &s) }); err != nil {
		return false, os.NewSyscallError("statfs", err)
	}
	return s.Flags&unix.MS_NOEXEC != 0, nil // ST_NOEXEC has the same value
}

func beingWritten(f *os.File) (bool, error) {
	fd, err := FD(f)
	if err != nil {
		return false, err
	}
	// A read lease is refused with EAGAIN while anybody has the file open for writing (fcntl(2), "Leases").
	switch _, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_RDLCK); err {
	case nil:
		_, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_UNLCK)
		return false, os.NewSyscallError("fcntl", err)
	case unix.EAGAIN:
		return true, nil
	default:
		return false, os.NewSyscallError("fcntl", err)
	}
}

func fileCapabilities(f *os.File) ([]byte, error) {
	fd, err := FD(f)
	if err != nil {
		return nil, err
	}
	p := make([]byte, maxCapabilities)
	n, err := unix.Fgetxattr(fd, "security.capability", p)
	if err == unix.ENODATA || err == unix.EOPNOTSUPP {
		return nil, nil
	}
	if err != nil {
		return nil, os.NewSyscallError("fgetxattr", err)
	}
	return p[:n], nil
}

func duplicateHigh(f *os.File) (int, error) {
	fd, err := FD(f)
	if err != nil {
		return -1, err
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return -1, os.NewSyscallError("getrlimit", err)
	}
	low := int(min(highDescriptor, limit.Cur/2))
	high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, low)
	return high, os.NewSyscallError("fcntl", err)
}

func privateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, unix.ENOTDIR) {
		return fmt.Errorf("make directory %q: %w; give one that this user can make", dir, err)
	}
	// Whatever stood there already is judged as it is.
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("check directory: %w", err)
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf("directory %q is a symbolic link: give where it leads", dir)
	case !info.IsDir():
		return fmt.Errorf("directory %q is not a directory: remove it, or give another path", dir)
	}
	if owner := int(info.Sys().(*syscall.Stat_t).Uid); owner != os.Geteuid() {
		return fmt.Errorf("directory %q is owned by uid %d, not by %d: give a directory of this user", dir, owner, os.Geteuid())
	}
	if mode := info.Mode().Perm(); mode != 0o700 {
		return fmt.Errorf("directory %q has mode %#o, not 0700: run chmod 700 on it, or give another path", dir, mode)
	}
	return nil
}

func ignoringEINTR(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}
