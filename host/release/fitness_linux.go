package release

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

func mayWrite(dir string) error {
	return unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS)
}

// fitFilesystem refuses one that is read-only, or whose files cannot be executed.
func fitFilesystem(dir string) error {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrNotWritable, dir, err)
	}
	switch {
	case s.Flags&unix.ST_RDONLY != 0:
		return fmt.Errorf("%w: the file system of %s is mounted read-only", ErrNotWritable, dir)
	case s.Flags&unix.ST_NOEXEC != 0:
		return fmt.Errorf("%w: the file system of %s is mounted noexec: no program could be started from it", ErrNotWritable, dir)
	}
	if text, err := os.ReadFile("/sys/fs/selinux/enforce"); err != nil || strings.TrimSpace(string(text)) != "1" {
		return nil // no SELinux, or it forbids nothing
	}
	label := make([]byte, 256)
	n, err := unix.Lgetxattr(dir, "security.selinux", label)
	if errors.Is(err, unix.ENOTSUP) {
		return nil // labels are the mount's
	}
	return judgeLabel(dir, string(label[:max(n, 0)]))
}

// enough makes sure that there is room below dir. Errors wrap ErrNoSpace.
func enough(dir string, r room) error {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return fmt.Errorf("look for space in %s: %w", dir, err)
	}
	free := s.Bavail
	if os.Geteuid() == 0 {
		free = s.Bfree // with what is reserved for root
	}
	if have := free * uint64(s.Bsize); have < uint64(r.bytes) {
		return fmt.Errorf("%w: %s has %d bytes free, %d are needed", ErrNoSpace, dir, have, r.bytes)
	}
	if s.Files > 0 && s.Ffree < uint64(r.files) { // some file systems do not count
		return fmt.Errorf("%w: %s has %d inodes free, %d are needed", ErrNoSpace, dir, s.Ffree, r.files)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err == nil && limit.Cur < uint64(r.largest) { // SIGXFSZ would end the process
		return fmt.Errorf("%w: this process may write files of %d bytes (RLIMIT_FSIZE), one of %d is needed", ErrNoSpace, limit.Cur, r.largest)
	}
	return nil
}
