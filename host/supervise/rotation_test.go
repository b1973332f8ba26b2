//go:build linux

package supervise

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestRotationLosesNoLineOfAWriterThatGoesOn: what is moved on and what is left are together what was written, in order; and what was
// moved on takes no room where it was.
func TestRotationLosesNoLineOfAWriterThatGoesOn(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "20261122T000000.000Z-001.log")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := Rotation{MaxSize: 32 << 10, Keep: 1000}
	written := make(chan error, 1)
	over := make(chan struct{})
	var want bytes.Buffer
	go func() {
		for n := range 20_000 {
			line := fmt.Sprintf("line %d\n", n)
			want.WriteString(line)
			if _, err := f.WriteString(line); err != nil {
				written <- err
				return
			}
		}
		close(over)
		written <- nil
	}()
	for done := false; !done; {
		select {
		case <-over:
			done = true
		default:
		}
		if err := r.rotate(t.Context(), dir, func(p string) bool { return p == path }); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	parts, err := filepath.Glob(path + ".*")
	if err != nil || len(parts) == 0 {
		t.Fatalf("nothing was moved on: %v", err)
	}
	slices.Sort(parts)
	var got bytes.Buffer
	for _, p := range parts {
		content, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		got.Write(content)
	}
	rest, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got.Write(bytes.TrimLeft(rest, "\x00"))
	if !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Errorf("%d bytes are there of %d", got.Len(), want.Len())
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if room := info.Sys().(*syscall.Stat_t).Blocks * 512; room > r.MaxSize+(64<<10) {
		t.Errorf("a file of %d bytes takes %d", info.Size(), room)
	}
}

func TestRotationRemovesTheOldestThatNobodyWritesTo(t *testing.T) {
	dir := t.TempDir()
	for n := range 6 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("20261122T00000%d.000Z-001.log", n)), []byte("x\n"), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	open := filepath.Join(dir, "20261122T000000.000Z-001.log") // the oldest lives
	if err := (Rotation{MaxSize: 1 << 20, Keep: 2}).rotate(t.Context(), dir, func(p string) bool { return p == open }); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, strings.TrimSuffix(e.Name(), ".000Z-001.log"))
	}
	if want := []string{"20261122T000000", "20261122T000004", "20261122T000005"}; !slices.Equal(left, want) {
		t.Errorf("left are %v, want %v", left, want)
	}
}

// TestRotationTouchesNothingOutsideTheOutput: the directory is the service's user's, and who rotates may be root. A link to another's file is not
// rotated, and what is moved on is written over nothing that a link leads to.
func TestRotationTouchesNothingOutsideTheOutput(t *testing.T) {
	outside, dir := filepath.Join(t.TempDir(), "outside"), t.TempDir()
	content := bytes.Repeat([]byte("secret\n"), 4096)
	path := filepath.Join(dir, "20261122T000000.000Z-001.log")
	for _, file := range []string{outside, path} {
		if err := os.WriteFile(file, content, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	part := path + ".0000000000000000"
	link, second := filepath.Join(dir, "20261122T000001.000Z-001.log"), filepath.Join(dir, "20261122T000002.000Z-001.log")
	if err := errors.Join(os.Symlink(outside, part), os.Symlink(outside, link), os.Link(outside, second)); err != nil {
		t.Fatal(err)
	}
	err := (Rotation{MaxSize: 16 << 10, Keep: 10}).rotate(t.Context(), dir, func(p string) bool { return p != part })
	if !errors.Is(err, ErrNoOutput) || strings.Count(err.Error(), ErrNoOutput.Error()) != 2 {
		t.Errorf("the links: %v", err)
	}
	if got, err := os.ReadFile(outside); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes are outside, %d were: %v", len(got), len(content), err)
	}
	info, err := os.Lstat(part)
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		t.Errorf("what was moved on: %v, %v", info, err)
	}
	if left, err := filepath.Glob(dir + "/*.log.*"); err != nil || len(left) != 1 {
		t.Errorf("moved on are %v, %v", left, err)
	}
}

// TestHolesOfOutputAreNotCopied: who writes to a file gives it any length (ftruncate(2)), and who rotates it, as root, has no quota. Guard: extents,
// by which the length of a file counts for nothing and what was never written is not kept.
func TestHolesOfOutputAreNotCopied(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "20261122T000000.000Z-001.log")
	const length = 16 << 20
	line := bytes.Repeat([]byte("a line\n"), 4<<10)
	if err := errors.Join(os.WriteFile(path, line[:4<<10], 0o640), os.Truncate(path, length)); err != nil {
		t.Fatal(err)
	}
	r := Rotation{MaxSize: 16 << 10, Keep: 10}
	rotate := func() []string {
		if err := r.rotate(t.Context(), dir, func(p string) bool { return p == path }); err != nil {
			t.Fatal(err)
		}
		parts, err := filepath.Glob(path + ".*")
		if err != nil {
			t.Fatal(err)
		}
		return parts
	}
	if parts := rotate(); len(parts) != 0 {
		t.Errorf("%d parts were made of one block", len(parts))
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt(line[:16<<10], length-(16<<10))
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	parts := rotate()
	if len(parts) != 1 {
		t.Fatalf("%d parts were made of five blocks", len(parts))
	}
	if got, err := os.ReadFile(parts[0]); err != nil || !bytes.Equal(got, append(line[:4<<10:4<<10], line[:12<<10]...)) {
		t.Errorf("%d bytes were moved on: %v", len(got), err)
	}
	left, err := os.ReadFile(path)
	if err != nil || len(left) != length || !bytes.Equal(bytes.TrimLeft(left, "\x00"), line[12<<10:16<<10]) {
		t.Errorf("%d bytes are left: %v", len(left), err)
	}
}

// TestRotationTakesNoMoreRoomThanIsKept: whatever came since the last look. Guards: moveOn, which makes parts of MaxSize, and prunes after each.
func TestRotationTakesNoMoreRoomThanIsKept(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "20261122T000000.000Z-001.log")
	if err := os.WriteFile(path, bytes.Repeat([]byte("a line\n"), 64<<10), 0o640); err != nil {
		t.Fatal(err)
	}
	r := Rotation{MaxSize: 32 << 10, Keep: 3}
	if err := r.rotate(t.Context(), dir, func(p string) bool { return p == path }); err != nil {
		t.Fatal(err)
	}
	room := int64(0)
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		info, ierr := e.Info()
		if err = errors.Join(err, ierr); ierr == nil {
			room += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
	}
	if err != nil || len(entries) != 1+r.Keep || room > int64(1+r.Keep)*r.MaxSize+(64<<10) {
		t.Errorf("%d files take %d bytes: %v", len(entries), room, err)
	}
}

// TestRotationEndsWithItsContext, and what it had not done is as it was. Guard: copyExtents asks ctx between steps.
func TestRotationEndsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "20261122T000000.000Z-001.log")
	content := bytes.Repeat([]byte("a line!\n"), 1<<20)
	if err := os.WriteFile(path, content, 0o640); err != nil {
		t.Fatal(err)
	}
	ctx := &endingWithin{t.Context(), 3}
	if err := (Rotation{MaxSize: 8 << 20, Keep: 3}).rotate(ctx, dir, func(p string) bool { return p == path }); err != nil {
		t.Error(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left are %v, %v", entries, err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes are left of %d: %v", len(got), len(content), err)
	}
}

// endingWithin is a context that ends when it was asked a few times whether it has.
type endingWithin struct {
	context.Context
	left int
}

func (c *endingWithin) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}
