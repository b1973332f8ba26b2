package builds

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/keeper/preflight"
)

// Hold keeps the executable at path without a store, as an open file: for a service whose file systems are all read-only,
// full, or mounted noexec. path may be /proc/PID/exe. The caller calls Release on the result.
//
// It is started by its Path, /proc/self/fd/N, which means the same in a child until that executes; the descriptor is
// close-on-exec, and its number so high that the files a child is given do not take its place. Older kernels list the process
// by that number; its arguments are the caller's to choose. A script cannot be held: its
// interpreter would have to open the descriptor when it is closed already.
func Hold(path string) (Build, error) {
	b, err := hold(path)
	if err != nil {
		return Build{}, fmt.Errorf("hold build %q: %w", path, err)
	}
	return b, nil
}

func hold(path string) (Build, error) {
	src, err := openSource(path)
	if err != nil {
		return Build{}, err
	}
	defer src.close()
	magic := make([]byte, 2)
	if _, err := src.file.ReadAt(magic, 0); err != nil && err != io.EOF {
		return Build{}, err
	}
	if string(magic) == "#!" {
		return Build{}, fmt.Errorf("it is a script, which cannot be started by descriptor: give its keeper a directory that it can write")
	}
	digest, size, err := digestOf(src.file, src.info.Size())
	if err == nil && size != src.info.Size() {
		err = ErrChanged
	}
	if err == nil {
		err = src.unchanged()
	}
	if err != nil {
		return Build{}, err
	}
	fd, err := platform.DuplicateHigh(src.file)
	if err != nil {
		return Build{}, err
	}
	self := fmt.Sprintf(heldPath, fd)
	info, _ := preflight.ReadGoBuild(src.file, size) // not every program has it
	return Build{
		Digest: digest, Size: size, Origin: src.origin, Time: time.Now().UTC(), Go: info,
		Path: self, Privileged: src.privileged(), held: os.NewFile(uintptr(fd), self),
	}, nil
}
