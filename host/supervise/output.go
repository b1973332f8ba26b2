package supervise

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrNoOutput: what lies among a service's output is none, but a link or a pipe.
var ErrNoOutput = errors.New("no plain file with one name")

// OpenOutput opens a file of a service's output, with flags of os.OpenFile; one that is made by them may be read by the service's group. The
// directory belongs to the service's user, who may put there what he likes, while the agent may be root: so no link is followed, none of a second
// name taken for a file of his own, and no pipe waited for. The caller closes the file.
func OpenOutput(path string, flag int) (*os.File, error) {
	f, err := os.OpenFile(path, flag|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o640)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) { // a link; a pipe that nobody reads, a socket
		return nil, fmt.Errorf("open %s: %w", path, ErrNoOutput)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && (!info.Mode().IsRegular() || info.Sys().(*syscall.Stat_t).Nlink > 1) {
		err = fmt.Errorf("open %s: %w", path, ErrNoOutput)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}
