package platform

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func socketpair() (a, b int, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, -1, os.NewSyscallError("socketpair", err)
	}
	return fds[0], fds[1], nil
}

func checkStream(fd int) error {
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return os.NewSyscallError("getsockopt", err)
	}
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return os.NewSyscallError("getsockopt", err)
	}
	if domain != unix.AF_UNIX || kind != unix.SOCK_STREAM {
		return errors.New("it is not a unix stream socket")
	}
	// The end of a pair whose other end is closed still has a peer; a listening or unconnected socket has none.
	if _, err := unix.Getpeername(fd); err != nil {
		return fmt.Errorf("it is not connected: %w", os.NewSyscallError("getpeername", err))
	}
	return nil
}

func send(c *net.UnixConn, p []byte, fds []int) (sent int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	var fault error
	// The whole message is one Write, which holds the write lock: no other Send comes between its parts.
	err = raw.Write(func(fd uintptr) bool {
		for sent < len(p) {
			n, err := unix.SendmsgN(int(fd), p[sent:], rights, nil, unix.MSG_NOSIGNAL)
			switch err {
			case nil:
			case unix.EINTR:
				continue
			case unix.EAGAIN:
				return false
			case unix.ETOOMANYREFS:
				fault = fmt.Errorf("%w: %w", ErrTooManyInFlight, err)
				return true
			default:
				fault = os.NewSyscallError("sendmsg", err)
				return true
			}
			sent += n
			rights = nil
		}
		return true
	})
	if err == nil {
		err = fault
	}
	return sent, err
}

// controlSpace holds the largest SCM_RIGHTS message, and credentials in case the socket was inherited with SO_PASSCRED.
var controlSpace = unix.CmsgSpace(MaxDescriptors*4) + unix.CmsgSpace(unix.SizeofUcred)

func recv(c *net.UnixConn, p []byte) (n int, fds []int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, nil, fmt.Errorf("receive: %w", err)
	}
	control := make([]byte, controlSpace)
	var controlLen, flags int
	var fault error
	err = raw.Read(func(fd uintptr) bool {
		for {
			n, controlLen, flags, _, fault = unix.Recvmsg(int(fd), p, control, unix.MSG_CMSG_CLOEXEC)
			if fault != unix.EINTR {
				return fault != unix.EAGAIN
			}
		}
	})
	if err == nil {
		err = os.NewSyscallError("recvmsg", fault)
	}
	if err != nil {
		return 0, nil, fmt.Errorf("receive: %w", err)
	}
	fds, err = parseRights(control[:controlLen])
	if err != nil || flags&unix.MSG_CTRUNC != 0 {
		closeAll(fds)
		return n, nil, fmt.Errorf("receive %d bytes: %w", n, errors.Join(ErrDescriptorsLost, err))
	}
	if n == 0 {
		return 0, nil, io.EOF
	}
	return n, fds, nil
}

// parseRights returns the descriptors found even when it fails, so that they can be closed.
func parseRights(control []byte) ([]int, error) {
	messages, err := unix.ParseSocketControlMessage(control)
	var fds []int
	for i := range messages {
		if messages[i].Header.Level != unix.SOL_SOCKET || messages[i].Header.Type != unix.SCM_RIGHTS {
			continue
		}
		rights, parseErr := unix.ParseUnixRights(&messages[i])
		fds = append(fds, rights...)
		err = errors.Join(err, parseErr)
	}
	return fds, err
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

func readable(c syscall.Conn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	var ready bool
	err = raw.Control(func(fd uintptr) {
		ready, _ = pollNow(int(fd), unix.POLLIN|unix.POLLRDHUP)
	})
	return err == nil && ready
}

func unsent(c syscall.Conn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	var n int
	if ctl := raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }); ctl != nil {
		return false
	}
	return err == nil && n > 0
}

// pollNow reports whether one of events, a hang-up or an error is pending on fd. A descriptor that is not open is not
// ready: nothing is known of it.
func pollNow(fd int, events int16) (bool, error) {
	set := []unix.PollFd{{Fd: int32(fd), Events: events}}
	for {
		_, err := unix.Poll(set, 0)
		if err == unix.EINTR {
			continue
		}
		return err == nil && set[0].Revents&(events|unix.POLLHUP|unix.POLLERR) != 0, os.NewSyscallError("poll", err)
	}
}
