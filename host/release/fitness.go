package release

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// fit makes sure that releases can be kept in dir, or if it is missing that it can be made, before anything is written. Errors wrap
// ErrNotWritable and give the reason.
func fit(dir string) error {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return fitParent(nearest(dir))
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotWritable, err)
	}
	if !info.IsDir() {
		return fmt.Errorf("%w: %s is no directory", ErrNotWritable, dir)
	}
	owner, self, mode := int(info.Sys().(*syscall.Stat_t).Uid), os.Geteuid(), info.Mode().Perm()
	switch {
	case owner != self:
		return fmt.Errorf("%w: %s belongs to user %d, this is user %d", ErrNotWritable, dir, owner, self)
	case mode&0o022 != 0:
		return fmt.Errorf("%w: %s has mode %04o: others could put their programs there", ErrNotWritable, dir, mode)
	case mode&0o300 != 0o300: // root could write all the same: somebody has said that nobody shall
		return fmt.Errorf("%w: %s has mode %04o: it is read-only", ErrNotWritable, dir, mode)
	}
	return fitFilesystem(dir)
}

// nearest is the directory, or the lowest above it that there is.
func nearest(dir string) string {
	for {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) || filepath.Dir(dir) == dir {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

// fitParent judges a directory in which the store's is to be made.
func fitParent(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrNotWritable, err)
	case !info.IsDir():
		return fmt.Errorf("%w: %s is no directory", ErrNotWritable, dir)
	}
	if err := mayWrite(dir); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrNotWritable, dir, err)
	}
	return fitFilesystem(dir)
}

// judgeLabel says what is wrong with the SELinux label of a directory where it is enforced. Files inherit the type of their directory; what has
// no label, or that of a file system nobody has labelled, cannot be executed by a confined service.
func judgeLabel(dir, label string) error {
	fields := strings.SplitN(strings.TrimRight(label, "\x00"), ":", 4)
	if len(fields) < 3 {
		return fmt.Errorf("%w: %s has no SELinux label: run restorecon -R on it", ErrNotWritable, dir)
	}
	switch t := fields[2]; t {
	case "unlabeled_t", "file_t", "default_t":
		return fmt.Errorf("%w: %s has SELinux type %s, from which services may not execute: run restorecon -R on it", ErrNotWritable, dir, t)
	}
	return nil
}

// room is what a release needs.
type room struct {
	bytes   int64 // in all
	files   int
	largest int64 // file, in bytes
}

// roomFor is the room that a manifest asks for: the release, the archive beside it until it is unpacked, and a block for each name.
func roomFor(m Manifest) room {
	const block = 4096
	r := room{files: len(m.Files) + 8, largest: m.Artifact.Size}
	for _, f := range m.Files {
		r.bytes += (f.Size + block - 1) / block * block
		r.largest = max(r.largest, f.Size)
	}
	r.bytes += m.Artifact.Size + int64(r.files)*block
	return r
}
