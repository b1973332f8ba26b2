package platform

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOnlyRegularFilesAreOpened(t *testing.T) {
	leaksNothing(t)
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.WriteFile(path("file"), []byte("x"), 0o600))
	must(t, os.Symlink("file", path("link")))
	must(t, unix.Mkfifo(path("pipe"), 0o600))
	for _, name := range []string{"file", "link"} {
		f, err := OpenRegular(path(name))
		must(t, err)
		must(t, f.Close())
	}
	for name, want := range map[string]string{path("pipe"): "a named pipe", dir: "a directory", "/dev/null": "a device"} {
		_, err := OpenRegular(name)
		if special, ok := errors.AsType[*NotRegular](err); !ok || special.Kind != want || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
	}
	if _, err := OpenRegular(path("missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
}

func TestExecutionIsAllowedByModeBits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(path, nil, 0o600))
	if err := CanExecute(path); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v, want fs.ErrPermission", err)
	}
	must(t, os.Chmod(path, 0o700))
	must(t, CanExecute(path))
	if _, err := NoExec(path); err != nil {
		t.Error(err)
	}
	if _, err := NoExec(path + "/missing"); err == nil {
		t.Error("the mount of what does not exist was examined")
	}
}

func TestWritersOfAFileAreSeen(t *testing.T) {
	leaksNothing(t)
	path := filepath.Join(t.TempDir(), "file")
	w, err := os.Create(path)
	must(t, err)
	r, err := OpenRegular(path)
	must(t, err)
	defer r.Close()
	for _, want := range []bool{true, false} {
		if got, err := BeingWritten(r); err != nil || got != want {
			t.Errorf("being written: %t, %v; want %t", got, err, want)
		}
		_ = CloseWritten(w)
	}
	// The lease that was asked for is gone: it would hold up who opens the file for writing.
	w, err = os.OpenFile(path, os.O_WRONLY|unix.O_NONBLOCK, 0)
	must(t, err)
	must(t, w.Close())
}

func TestFileWithoutCapabilitiesHasNone(t *testing.T) {
	f, err := os.Open(os.Args[0])
	must(t, err)
	defer f.Close()
	if p, err := FileCapabilities(f); err != nil || p != nil {
		t.Errorf("%x, %v", p, err)
	}
}

func TestHighDuplicateIsOutOfTheWayAndNotInherited(t *testing.T) {
	leaksNothing(t)
	f, err := os.Open(os.Args[0])
	must(t, err)
	defer f.Close()
	fd, err := DuplicateHigh(f)
	must(t, err)
	if fd < 256 || !isCloseOnExec(t, fd) {
		t.Errorf("descriptor %d", fd)
	}
	must(t, CloseFD(fd))
}

func TestPrivateDirIsMadeAndJudged(t *testing.T) {
	base := t.TempDir()
	path := func(name string) string { return filepath.Join(base, name) }
	for range 2 {
		must(t, PrivateDir(path("missing/private")))
	}
	must(t, os.Mkdir(path("open"), 0o755))
	must(t, os.Symlink("missing", path("link")))
	must(t, os.WriteFile(path("file"), nil, 0o600))
	for name, want := range map[string]string{
		path("open"):       "chmod 700",
		path("link"):       "symbolic link",
		path("file"):       "not a directory",
		path("file/below"): "not a directory",
		"/":                "",
	} {
		if err := PrivateDir(name); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
}
