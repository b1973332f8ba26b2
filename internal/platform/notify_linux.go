package platform

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func notify(ctx context.Context, socket, state string, fds []int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	file := os.NewFile(uintptr(fd), "notify")
	defer file.Close()
	// Connected, because poll on an unconnected socket cannot see that the receiver's queue is full.
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: socket}); err != nil {
		return os.NewSyscallError("connect", err)
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	var fault error
	err = interruptible(ctx, file, func() error {
		return raw.Write(func(fd uintptr) bool {
			for {
				fault = unix.Sendmsg(int(fd), []byte(state), rights, nil, unix.MSG_NOSIGNAL)
				if fault != unix.EINTR {
					return fault != unix.EAGAIN
				}
			}
		})
	})
	switch {
	case err != nil:
		return err
	case fault == unix.ETOOMANYREFS:
		return fmt.Errorf("%w: %w", ErrTooManyInFlight, fault)
	}
	return os.NewSyscallError("sendmsg", fault)
}
