package supervise

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Rotation bounds the output that is kept of a service. Each process of it writes to a file of its own, and writes there itself, so
// nobody's end can block it or lose a line. So a file is never cut, nor moved away: what is old in it is copied to a file beside it, and
// its place on disk is given back (FALLOC_FL_PUNCH_HOLE, fallocate(2)); the file grows on in length and not in size.
type Rotation struct {
	MaxSize int64 // bytes of a file before a part of it is moved on. Default 64 MiB
	Keep    int   // files of the service, the oldest are removed first, never one that is written to. Default 10
}

func (r Rotation) withDefaults() Rotation {
	return Rotation{MaxSize: cmp.Or(r.MaxSize, 64<<20), Keep: cmp.Or(r.Keep, 10)}
}

// rotate goes over the output in dir. open says which files are written to. What it has not done when ctx ends is done by the next.
func (r Rotation) rotate(ctx context.Context, dir string, open func(path string) bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("rotate output: %w", err)
	}
	var written, closed []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case !strings.HasSuffix(path, ".log") && !strings.Contains(e.Name(), ".log."):
		case open(path):
			written = append(written, path)
		default:
			closed = append(closed, path)
		}
	}
	closed, err = r.prune(closed)
	errs := []error{err}
	for _, path := range written {
		err := r.moveOn(ctx, path, func(part string) error {
			var err error
			closed, err = r.prune(append(closed, part))
			return err
		})
		if err != nil && ctx.Err() == nil {
			errs = append(errs, fmt.Errorf("rotate output: %w", err))
		}
	}
	return errors.Join(errs...)
}

// prune removes the oldest of the files that nobody writes to, and returns the others.
func (r Rotation) prune(closed []string) ([]string, error) {
	slices.Sort(closed) // names begin with the time, parts end with their offset
	closed = slices.Compact(closed)
	var errs []error
	for len(closed) > r.Keep {
		errs = append(errs, os.Remove(closed[0]))
		closed = closed[1:]
	}
	return closed, errors.Join(errs...)
}

// moveOn copies all whole blocks of a file that has grown too large to files of their own, each of MaxSize, and frees their place. moved is told of
// each before the next is begun, so that no more room is taken than for one beyond those that are kept.
func (r Rotation) moveOn(ctx context.Context, path string, moved func(part string) error) error {
	f, err := OpenOutput(path, os.O_RDWR)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	begin, end := int64(0), info.Size()/blockSize*blockSize
	for {
		data, enough := extents(f, begin, end, r.MaxSize)
		if !enough {
			return nil
		}
		begin = data[0].from
		part := fmt.Sprintf("%s.%016d", path, begin)
		if err := copyExtents(ctx, f, part, data, info.Mode().Perm()); err != nil {
			return err
		}
		after := data[len(data)-1].to
		if err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, begin, after-begin); err != nil {
			_ = os.Remove(part) // what is kept twice takes more room than before
			return fmt.Errorf("free the beginning of %s: %w", path, err)
		}
		if err := moved(part); err != nil {
			return err
		}
		begin = after
	}
}

// blockSize is the unit in which place is given back: a page, which a block of common file systems is not larger than.
const blockSize = 4096

// extent is a part of a file that takes place on disk.
type extent struct{ from, to int64 }

// extents are what of a file from begin to end is no hole, as far as size bytes of it, and whether there are as many. The length of a file means
// nothing: whoever may write to it can give it any, and what was never written is not kept.
func extents(f *os.File, begin, end, size int64) (all []extent, enough bool) {
	fd := int(f.Fd())
	for begin < end && size > 0 {
		from, err := unix.Seek(fd, begin, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) { // nothing but a hole
			return all, false
		}
		to := end
		if err == nil {
			to, err = unix.Seek(fd, from, unix.SEEK_HOLE)
		}
		if err != nil { // a file system that knows no holes has none
			from, to = begin, end
		}
		if from >= end {
			return all, false
		}
		to = min(to, end, from+(size+blockSize-1)/blockSize*blockSize)
		all = append(all, extent{from, to})
		size -= to - from
		begin = to
	}
	return all, size <= 0
}

// copyExtents makes the file to, which is always a new one: what lies there was left by a crash, or put there by the service's user to have
// something else written over.
func copyExtents(ctx context.Context, f *os.File, to string, data []extent, mode os.FileMode) error {
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	for _, d := range data {
		for at := d.from; at < d.to && err == nil; at += copyStep {
			if err = ctx.Err(); err == nil {
				_, err = io.Copy(out, io.NewSectionReader(f, at, min(copyStep, d.to-at)))
			}
		}
	}
	if err == nil {
		err = out.Sync() // before the only other copy is given up
	}
	if err = errors.Join(err, out.Close()); err != nil {
		_ = os.Remove(to)
	}
	return err
}

// copyStep is how many bytes are copied between two looks at whether there is still time: what ends a service, or the agent, waits for it.
const copyStep = 1 << 20
