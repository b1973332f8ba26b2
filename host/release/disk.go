package release

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"syscall"
)

// disk makes what is written outlive a crash of the host, in the order in which it is told.
type disk struct {
	scratch bool         // nothing has to outlive anything
	step    func(string) // before each call, so that a test can end the process there; nil: nothing
}

func (d disk) before(what string) {
	if d.step != nil {
		d.step(what)
	}
}

// syncFile writes a file's content out.
func (d disk) syncFile(f *os.File) error {
	if d.scratch {
		return nil
	}
	d.before("sync " + f.Name())
	return f.Sync()
}

// syncDir writes the names in a directory out.
func (d disk) syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return d.syncFile(f)
}

// syncDirs does so for every directory below root, the deepest first.
func (d disk) syncDirs(root *os.Root) error {
	var dirs []string
	err := fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			dirs = append(dirs, name)
		}
		return err
	})
	for i := len(dirs) - 1; err == nil && i >= 0; i-- { // parents come first in a walk
		err = d.syncDir(path.Join(root.Name(), dirs[i]))
	}
	return err
}

// rename gives what is at from the name to, in one step.
func (d disk) rename(from, to string) error {
	d.before("rename to " + to)
	return os.Rename(from, to)
}

// exchange has two paths change places, in one step.
func (d disk) exchange(one, other string) error {
	d.before("exchange with " + other)
	return exchange(one, other)
}

// full tells errors that mean that there is no room, or no right, from others.
func full(err error) error {
	switch {
	case err == nil || errors.Is(err, ErrRefused):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: %w", ErrNotWritable, err)
	}
	return err
}
