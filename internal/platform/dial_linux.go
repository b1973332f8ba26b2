package platform

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

func dialSocket(ctx context.Context, path string) (*net.UnixConn, error) {
	var fd int
	err := ignoringEINTR(func() (err error) {
		fd, err = unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0) // of a link it is the link itself (open(2))
		return err
	})
	if err != nil {
		return nil, os.NewSyscallError("open", err)
	}
	defer func() { _ = unix.Close(fd) }()
	var info unix.Stat_t
	if err := unix.Fstat(fd, &info); err != nil {
		return nil, os.NewSyscallError("fstat", err)
	}
	if info.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return nil, ErrNotSocket
	}
	// The kernel has no connectat; by this name the path is not looked up again (proc(5), /proc/pid/fd).
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", "/proc/self/fd/"+strconv.Itoa(fd))
	if err != nil {
		op := (*net.OpError)(nil)
		if errors.As(err, &op) {
			err = op.Err // whose address means nothing to anybody
		}
		if errors.Is(err, unix.ENOENT) {
			return nil, fmt.Errorf("/proc is not mounted: %v", err) // not that nobody is there
		}
		return nil, err
	}
	return c.(*net.UnixConn), nil
}
