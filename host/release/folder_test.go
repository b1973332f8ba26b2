package release

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestDirectoriesWithOtherThanFilesAreRefused(t *testing.T) {
	w := newWorkshop(t)
	for name, spoil := range map[string]func(dir string) error{
		"named pipe":       func(dir string) error { return syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644) },
		"link out":         func(dir string) error { return os.Symlink("../../etc/passwd", filepath.Join(dir, "out")) },
		"link to the root": func(dir string) error { return os.Symlink("/etc/passwd", filepath.Join(dir, "out")) },
		"link to nothing":  func(dir string) error { return os.Symlink("nothing", filepath.Join(dir, "out")) },
		".handover":        func(dir string) error { return os.Mkdir(filepath.Join(dir, ownDir), 0o755) },
		"a newline":        func(dir string) error { return os.WriteFile(filepath.Join(dir, "a\nb"), nil, 0o644) },
	} {
		dir := filepath.Join(t.TempDir(), "shop")
		w.check(os.Mkdir(dir, 0o755))
		w.check(os.WriteFile(filepath.Join(dir, "shop"), []byte("#!/bin/sh\n"), 0o755))
		w.sign(dir, "1.2.0", noTime)
		w.check(spoil(dir))
		if _, err := store(t).Add(t.Context(), source(t, dir), w.policy(), nil); !errors.Is(err, ErrUnsafe) {
			t.Errorf("%s: added: %v", name, err)
		}
		if _, err := Sign(t.Context(), dir, Description{Name: "shop", Version: "1.2.0"}, &w.key); !errors.Is(err, ErrUnsafe) {
			t.Errorf("%s: signed: %v", name, err)
		}
	}
}

// An artifact that is none is refused before it is opened, which could wait for ever.
func TestArtifactThatIsNoFileIsRefused(t *testing.T) {
	w := newWorkshop(t)
	artifact := w.signed("1.2.0")
	w.check(os.Remove(artifact))
	w.check(syscall.Mkfifo(artifact, 0o644))
	if _, err := store(t).Add(t.Context(), source(t, artifact), w.policy(), nil); !errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), "named pipe") {
		t.Errorf("named pipe: %v", err)
	}
	w.check(os.Remove(artifact))
	l, err := net.Listen("unix", artifact)
	w.check(err)
	defer l.Close()
	if _, err := store(t).Add(t.Context(), source(t, artifact), w.policy(), nil); !errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), "socket") {
		t.Errorf("socket: %v", err)
	}
}

// What has changed in a directory since it was signed is found when it is copied.
func TestDirectoryThatHasChangedIsRefused(t *testing.T) {
	w := newWorkshop(t)
	dir := w.path("shop")
	w.check(os.Mkdir(dir, 0o755))
	w.check(os.WriteFile(filepath.Join(dir, "shop"), []byte("#!/bin/sh\n"), 0o755))
	w.check(os.WriteFile(filepath.Join(dir, "shop.yaml"), []byte("colour: blue\n"), 0o644))
	for name, change := range map[string]func() error{
		"content": func() error { return os.WriteFile(filepath.Join(dir, "shop.yaml"), []byte("colour: pink\n"), 0o644) },
		"mode":    func() error { return os.Chmod(filepath.Join(dir, "shop.yaml"), 0o755) },
		"removed": func() error { return os.Remove(filepath.Join(dir, "shop.yaml")) },
		"added":   func() error { return os.WriteFile(filepath.Join(dir, "empty"), nil, 0o644) },
	} {
		w.sign(dir, "1.2.0", noTime)
		w.check(change())
		if _, err := store(t).Add(t.Context(), source(t, dir), w.policy(), nil); !errors.Is(err, ErrDigest) {
			t.Errorf("%s: %v", name, err)
		}
		w.check(os.WriteFile(filepath.Join(dir, "shop.yaml"), []byte("colour: blue\n"), 0o644))
		w.check(os.Chmod(filepath.Join(dir, "shop.yaml"), 0o644))
	}
}
