package release

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// unwaiting opens what may lie where others write, for reading. A named pipe there would keep the open waiting for a writer (fifo(7)), and no context
// ends that.
const unwaiting = os.O_RDONLY | syscall.O_NONBLOCK

// openRegular opens a regular file; links are followed. Errors wrap ErrUnsafe if it is anything else. The caller closes it.
func openRegular(file string) (*os.File, error) {
	info, err := os.Stat(file) // a device may act on being opened
	if err == nil && !info.Mode().IsRegular() {
		err = notRegular(file, info)
	}
	if err != nil {
		return nil, err
	}
	return regularOnly(os.OpenFile(file, unwaiting, 0))
}

// regularOnly closes what was opened unless it is a regular file: a pipe may have taken its place since it was looked at, from which to read
// would be to wait.
func regularOnly(f *os.File, err error) (*os.File, error) {
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = notRegular(f.Name(), info)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func notRegular(file string, info fs.FileInfo) error {
	return fmt.Errorf("%w: %q is a %s", ErrUnsafe, filepath.Base(file), fileKind(info.Mode()))
}

// files is a directory whose regular files can be opened.
type files string

func (dir files) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	f, err := openRegular(filepath.Join(string(dir), name))
	if err != nil {
		return nil, err // and no file, rather than one that is nil
	}
	return f, nil
}

// walked is a directory whose directories are listed; a pipe that has taken the place of one since is an error.
type walked struct{ *os.Root }

func (w walked) Open(name string) (fs.File, error) {
	f, err := w.OpenFile(name, unwaiting, 0)
	if err != nil {
		return nil, err
	}
	return f, nil
}
