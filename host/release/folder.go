package release

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// folder is a directory. It is walked without following links.
type folder struct {
	root  *os.Root
	names []string // still to come
	open  *os.File
}

// openFolder lists a directory, whose entries are read later. What a release keeps of its own is passed over if it may be there. The caller
// closes it.
func openFolder(dir string, max int, own bool) (*folder, error) {
	root, err := os.OpenRoot(dir + "/.") // of a pipe that has taken its place this is ENOTDIR, at once
	if err != nil {
		return nil, err
	}
	f := &folder{root: root}
	err = fs.WalkDir(walked{root}, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == ownDir && own:
			return fs.SkipDir
		case name == ownDir:
			return safePath(name)
		case !d.IsDir():
			f.names = append(f.names, name)
		}
		if len(f.names) > max {
			return fmt.Errorf("%w: more than %d files", ErrTooLarge, max)
		}
		return nil
	})
	if err != nil {
		_ = root.Close()
		return nil, err
	}
	return f, nil
}

func (f *folder) next() (entry, error) {
	f.closeFile()
	if len(f.names) == 0 {
		return entry{}, io.EOF
	}
	name := f.names[0]
	f.names = f.names[1:]
	info, err := f.root.Lstat(name)
	if err != nil {
		return entry{}, err
	}
	e := entry{path: name, kind: regular, mode: modeOf(info.Mode()), size: info.Size()}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		e.kind = symlink
		e.to, err = f.root.Readlink(name)
	case !info.Mode().IsRegular():
		return e, fmt.Errorf("%w: %q is a %s", ErrUnsafe, name, fileKind(info.Mode()))
	default:
		if f.open, err = regularOnly(f.root.OpenFile(name, unwaiting, 0)); err == nil {
			e.body = f.open
		}
	}
	return e, err
}

func fileKind(m fs.FileMode) string {
	switch {
	case m&fs.ModeCharDevice != 0:
		return typeName(tar.TypeChar)
	case m&fs.ModeDevice != 0:
		return typeName(tar.TypeBlock)
	case m&fs.ModeNamedPipe != 0:
		return typeName(tar.TypeFifo)
	case m&fs.ModeSocket != 0:
		return "socket"
	case m.IsDir():
		return "directory"
	}
	return "thing of type " + m.Type().String()
}

func (f *folder) closeFile() {
	if f.open != nil {
		_ = f.open.Close()
		f.open = nil
	}
}

func (f *folder) close() {
	f.closeFile()
	_ = f.root.Close()
}
