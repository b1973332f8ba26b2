//go:build debian

package systemd

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	script      = "./systemd-root"
	makeTimeout = 5 * time.Minute
)

// tree returns where the tree is that machines boot, and makes it if it is not there yet.
func tree(t *testing.T) string {
	t.Helper()
	dir, err := madeTree()
	if err != nil {
		t.Fatalf("make a tree of Debian's packages (needs root and debootstrap): %v", err)
	}
	return dir
}

var madeTree = sync.OnceValues(func() (string, error) {
	dir := os.Getenv("HANDOVER_SYSTEMD_ROOT")
	if dir == "" {
		dir = filepath.Join(os.TempDir(), "handover-systemd-root")
	}
	// Other test binaries may want it too. The file stays: to remove it would let two believe that they hold the lock.
	lock, err := os.OpenFile(dir+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(dir, "SYSTEMD_ROOT_MARKER")); err == nil {
		return dir, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), makeTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, script, "make", dir)
	cmd.Stderr = os.Stderr
	return dir, cmd.Run()
})
