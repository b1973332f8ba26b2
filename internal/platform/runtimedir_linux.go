package platform

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

func findRuntimeDir(explicit string) (string, error) {
	dir := explicit
	if dir == "" {
		dir = defaultRuntimeDir()
	}
	dir, err := filepath.Abs(dir) // the process may change its directory later
	if err != nil {
		return "", fmt.Errorf("find runtime directory: %w", err)
	}
	return dir, nil
}

func runtimeDir(explicit string) (string, error) {
	dir, err := findRuntimeDir(explicit)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, unix.ENOTDIR) {
		return "", fmt.Errorf("make runtime directory %q: %w; set HANDOVER_RUNTIME_DIR to a directory that this user can make", dir, err)
	}
	// Whatever stood there already, even if made by somebody else a moment ago, is judged as it is.
	info, err := os.Lstat(dir)
	if err != nil {
		return "", fmt.Errorf("check runtime directory: %w", err)
	}
	if err := checkRuntimeDir(dir, info); err != nil {
		return "", err
	}
	return dir, nil
}

func defaultRuntimeDir() string {
	// The XDG Base Directory Specification has relative values ignored.
	if xdg := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(xdg) {
		return filepath.Join(xdg, "handover")
	}
	if os.Geteuid() == 0 {
		return "/run/handover"
	}
	return filepath.Join(os.TempDir(), "handover-"+strconv.Itoa(os.Geteuid()))
}

func checkRuntimeDir(dir string, info fs.FileInfo) error {
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf("runtime directory %q is a symbolic link: set HANDOVER_RUNTIME_DIR to where it leads", dir)
	case !info.IsDir():
		return fmt.Errorf("runtime directory %q is not a directory: remove it, or set HANDOVER_RUNTIME_DIR to another path", dir)
	}
	if owner := int(info.Sys().(*syscall.Stat_t).Uid); owner != os.Geteuid() {
		return fmt.Errorf("runtime directory %q is owned by uid %d, not by %d: set HANDOVER_RUNTIME_DIR to a directory of this user", dir, owner, os.Geteuid())
	}
	if mode := info.Mode().Perm(); mode != 0o700 {
		return fmt.Errorf("runtime directory %q has mode %#o, not 0700: run chmod 700 on it, or set HANDOVER_RUNTIME_DIR to another path", dir, mode)
	}
	return nil
}

func lock(path string) (func(), error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	return lockFile(f)
}

func lockDir(path string) (func(), error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return lockFile(f)
}

// lockFile locks f, and closes it at the unlock.
func lockFile(f *os.File) (func(), error) {
	fd, err := FD(f)
	if err == nil {
		err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		_ = f.Close()
		if err == unix.EWOULDBLOCK {
			err = ErrLocked
		}
		return nil, err
	}
	return sync.OnceFunc(func() { _ = f.Close() }), nil
}
