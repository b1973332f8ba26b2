package platform

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRuntimeDirIsMadePrivateAndFoundAgain(t *testing.T) {
	leaksNothing(t)
	want := filepath.Join(t.TempDir(), "missing", "handover")
	for range 2 {
		dir, err := RuntimeDir(want)
		must(t, err)
		info, err := os.Lstat(dir)
		must(t, err)
		if dir != want || info.Mode().Perm() != 0o700 {
			t.Fatalf("%s with mode %v", dir, info.Mode())
		}
	}
}

func TestRuntimeDirDefaultsToTheUsersOwn(t *testing.T) {
	xdg := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", xdg)
	if dir, err := RuntimeDir(""); err != nil || dir != filepath.Join(xdg, "handover") {
		t.Fatalf("%q, %v", dir, err)
	}
	t.Setenv("XDG_RUNTIME_DIR", "relative")
	if dir := defaultRuntimeDir(); !filepath.IsAbs(dir) || !strings.Contains(dir, "handover") {
		t.Fatalf("%q", dir)
	}
}

func TestRuntimeDirThatOthersCouldUseIsRefusedWithAdvice(t *testing.T) {
	leaksNothing(t)
	base := t.TempDir()
	path := func(name string) string { return filepath.Join(base, name) }
	must(t, os.Mkdir(path("open"), 0o755))
	must(t, os.Mkdir(path("private"), 0o700))
	must(t, os.Symlink(path("private"), path("link")))
	must(t, os.Symlink(path("nowhere"), path("dangling")))
	must(t, os.WriteFile(path("file"), nil, 0o600))
	foreign := "/"
	if os.Geteuid() == 0 {
		foreign = path("foreign")
		must(t, os.Mkdir(foreign, 0o700))
		must(t, os.Chown(foreign, 65534, 65534))
	}
	for dir, want := range map[string]string{
		path("open"):     "chmod 700",
		path("link"):     "symbolic link",
		path("dangling"): "symbolic link",
		path("file"):     "not a directory",
		foreign:          "owned by uid",
	} {
		got, err := RuntimeDir(dir)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), dir) || got != "" {
			t.Errorf("%s: %q, %v", dir, got, err)
		}
	}
}

func TestLockIsHeldByOneAndItsFileStays(t *testing.T) {
	leaksNothing(t)
	path := filepath.Join(t.TempDir(), "service.lock")
	unlock, err := Lock(path)
	must(t, err)
	if _, err := Lock(path); !errors.Is(err, ErrLocked) {
		t.Fatalf("second lock: %v", err)
	}
	unlock()
	unlock()
	again, err := Lock(path)
	must(t, err)
	again()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("lock file: %v, %v", info, err)
	}
}
