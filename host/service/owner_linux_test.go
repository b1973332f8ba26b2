package service_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/handover-go/handover/host/internal/fake"
	"github.com/handover-go/handover/host/service"
)

// TestUserCannotPointRootAtAServiceOfRoots: what a user's directory has under his service's name leads root to his processes alone, or
// nowhere. Guards: platform.DialSocket follows no link, and connect takes no process of root's for that of another user's directory. It needs to
// be root to have a directory of somebody else.
func TestUserCannotPointRootAtAServiceOfRoots(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("not root")
		return
	}
	dir, victim := start(t, "final")
	parent := t.TempDir()
	theirs := filepath.Join(parent, "theirs")
	socket := filepath.Join(dir, "shop.sock")
	if err := errors.Join(
		os.Mkdir(theirs, 0o700), os.Symlink(socket, filepath.Join(theirs, "shop.sock")), os.Link(socket, filepath.Join(theirs, "cart.sock")), os.Chown(theirs, nobody, nobody),
		os.Chmod(parent, 0o755), os.Chmod(filepath.Dir(parent), 0o755),
	); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"shop", "cart"} {
		c, err := service.Dial(t.Context(), theirs, name)
		if err == nil {
			_, err = c.Upgrade(t.Context(), service.Request{Binary: "/home/nobody/" + name}, nil)
			c.Close()
		}
		if !errors.Is(err, service.ErrDenied) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if asked := victim.Upgrades(); len(asked) != 0 {
		t.Errorf("root's service was asked: %+v", asked)
	}
	own, err := startAs(nobody, theirs, "own")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	c, err := service.Dial(t.Context(), theirs, "own")
	if err != nil {
		t.Fatalf("the user's own service: %v", err)
	}
	c.Close()
}

// nobody is a user that is not root.
const nobody = 65534

// startAs starts a fake that answers as that user: the kernel names who called listen(2), which is a thread here (credentials(7)), and that ends
// with its goroutine.
func startAs(uid uintptr, dir, name string) (s *fake.Service, err error) {
	started := make(chan struct{})
	go func() {
		defer close(started)
		runtime.LockOSThread()
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, ^uintptr(0), uid, ^uintptr(0)); errno != 0 {
			err = errno
			return
		}
		s, err = fake.Start(dir, name, "final")
	}()
	<-started
	return s, err
}

// TestLinkIsNoTakeoverSocket: nor in a directory of one's own, whoever answers behind it. Guard: platform.DialSocket, which opens with O_NOFOLLOW.
func TestLinkIsNoTakeoverSocket(t *testing.T) {
	dir, _ := start(t, "final")
	if err := errors.Join(os.Symlink("shop.sock", filepath.Join(dir, "cart.sock")), os.WriteFile(filepath.Join(dir, "queue.sock"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cart", "queue"} {
		if c, err := service.Dial(t.Context(), dir, name); !errors.Is(err, service.ErrDenied) {
			t.Errorf("%s: %v", name, err)
			if err == nil {
				c.Close()
			}
		}
	}
	if err := fake.Abandon(dir, "left"); err != nil {
		t.Fatal(err)
	}
	if _, err := service.Dial(t.Context(), dir, "left"); !errors.Is(err, service.ErrNobody) {
		t.Errorf("a socket that a process has left: %v", err)
	}
}
