package release

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// smallVariable makes the test binary a process for which something is too small.
const smallVariable = "HANDOVER_RELEASE_SMALL"

// addWhereItIsSmall adds a release of 1 MiB where there is no room for it, and says what came of it: with a limit on the size of files, and, if it
// may mount, on a tmpfs of half that size in a mount namespace of its own, looked at before and not.
func addWhereItIsSmall(dir string) int {
	if err := tryWhereItIsSmall(dir); !errors.Is(err, ErrNoSpace) {
		fmt.Println("not refused:", err)
		return 1
	}
	return 0
}

func tryWhereItIsSmall(dir string) error {
	s, err := Open(filepath.Join(dir, "store"))
	if err != nil {
		return err
	}
	keys, err := LoadKeys(filepath.Join(dir, "ci.key.pub"))
	if err != nil {
		return err
	}
	src, err := ParseSource(filepath.Join(dir, "large.tar.gz"))
	if err != nil {
		return err
	}
	add := func() error {
		_, err := s.Add(context.Background(), src, Policy{Keys: keys}, nil)
		return err
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 512 << 10, Max: unix.RLIM_INFINITY}); err != nil {
		return err
	}
	if err := add(); !errors.Is(err, ErrNoSpace) || !strings.Contains(err.Error(), "RLIMIT_FSIZE") {
		return fmt.Errorf("with a limit: %v", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}); err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(s.Dir()), os.Mkdir(s.Dir(), 0o755)); err != nil {
		return err
	}
	if err := unix.Mount("small", s.Dir(), "tmpfs", 0, "size=512k,mode=755"); errors.Is(err, unix.EPERM) {
		return ErrNoSpace // as the limit has shown
	} else if err != nil {
		return err
	}
	if err := add(); !errors.Is(err, ErrNoSpace) || !strings.Contains(err.Error(), "bytes free") {
		return fmt.Errorf("asked before: %v", err)
	}
	s.enough = func(string, room) error { return nil }
	err = add()
	if left, readErr := os.ReadDir(s.path(stagingDir)); readErr != nil || len(left) > 0 {
		return fmt.Errorf("%v is left, %v; %v", left, readErr, err)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("the disk is not full: %v", err)
	}
	return err
}

func TestFullDiskIsRefused(t *testing.T) {
	w := newWorkshop(t)
	text := make([]byte, 1<<20)
	copy(text, "#!/bin/sh\n")
	w.check(os.MkdirAll(w.path("tree"), 0o755))
	w.check(os.WriteFile(w.path("tree/shop"), text, 0o755))
	pack := exec.CommandContext(t.Context(), "tar", "-czf", w.path("large.tar.gz"), "-C", w.path("tree"), "shop")
	w.check(pack.Run())
	w.sign(w.path("large.tar.gz"), "1.2.0", noTime)
	self, err := os.Executable()
	w.check(err)
	run := func(flags uintptr) ([]byte, error) {
		c := exec.CommandContext(t.Context(), self)
		c.Env = append(os.Environ(), smallVariable+"="+w.dir, "GORACE=atexit_sleep_ms=0")
		c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: flags}
		return c.CombinedOutput()
	}
	out, err := run(syscall.CLONE_NEWNS)
	if errors.Is(err, syscall.EPERM) { // no root, or one in a container
		out, err = run(0)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}
