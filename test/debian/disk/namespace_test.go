//go:build debian

package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/handover-go/handover/test/internal/apart"
)

// TestMain runs the tests among mounts of their own.
func TestMain(m *testing.M) { apart.Run(m, apart.Mounts, func() error { return nil }) }

// disk is a small one in memory, at a path short enough for a socket.
type disk struct {
	t      *testing.T
	path   string
	locked bool
}

// Of a disk: room for a build or two, and for what is needed beside.
const size, inodes = "100m", "200"

func newDisk(t *testing.T) *disk {
	t.Helper()
	path, err := os.MkdirTemp("", "disk-")
	must(t, err)
	t.Cleanup(func() { os.Remove(path) })
	must(t, syscall.Mount("tmpfs", path, "tmpfs", 0, "size="+size+",nr_inodes="+inodes+",mode=0700"))
	d := &disk{t: t, path: path}
	t.Cleanup(func() {
		d.clear()
		must(t, syscall.Unmount(path, syscall.MNT_DETACH))
	})
	return d
}

// fill leaves no byte on it.
func (d *disk) fill() {
	d.t.Helper()
	file, err := os.Create(filepath.Join(d.path, "filler"))
	must(d.t, err)
	defer file.Close()
	for block := make([]byte, 1<<20); len(block) > 0; block = block[:len(block)/2] {
		for err = nil; err == nil; {
			_, err = file.Write(block)
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		d.t.Fatal(err)
	}
}

// crowd leaves no file to be made on it.
func (d *disk) crowd() {
	d.t.Helper()
	for n := 0; ; n++ {
		if err := os.WriteFile(filepath.Join(d.path, fmt.Sprint("crowd", n)), nil, 0o600); errors.Is(err, syscall.ENOSPC) {
			return
		} else if err != nil {
			d.t.Fatal(err)
		}
	}
}

// lock makes it read-only, as a kernel does that no longer trusts a disk: to whoever opens a file from now on. What is open to be written
// already hinders it no more than that.
func (d *disk) lock() {
	d.t.Helper()
	must(d.t, syscall.Mount(d.path, d.path, "", syscall.MS_BIND, ""))
	d.locked = true
	must(d.t, syscall.Mount("", d.path, "", syscall.MS_REMOUNT|syscall.MS_RDONLY|syscall.MS_BIND, ""))
}

// clear makes it as it was.
func (d *disk) clear() {
	d.t.Helper()
	if d.locked {
		d.locked = false
		must(d.t, syscall.Unmount(d.path, syscall.MNT_DETACH))
	}
	rest, err := filepath.Glob(filepath.Join(d.path, "crowd*"))
	must(d.t, err)
	for _, file := range append(rest, filepath.Join(d.path, "filler")) {
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			d.t.Fatal(err)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
