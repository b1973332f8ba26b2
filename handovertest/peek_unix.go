//go:build unix && !aix && !solaris && !illumos

package handovertest

import (
	"errors"
	"os"
	"syscall"
)

// peek looks at the socket without consuming anything, at once, or when wait
// is set as soon as there is something to see or the read deadline expires.
func (c *conn) peek(wait bool) error {
	if c.raw == nil {
		return c.taste(wait)
	}
	var n int
	var seen error
	err := c.raw.Read(func(fd uintptr) bool {
		for {
			n, _, seen = syscall.Recvfrom(int(fd), c.probe[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
			if seen != syscall.EINTR {
				break
			}
		}
		return !wait || seen != syscall.EAGAIN
	})
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil
	case err != nil:
		return faultf(OwnFault, "peek: %v", err)
	case seen == syscall.EAGAIN:
		return nil
	case seen != nil:
		return faultf(Closed, "idle connection: %v", seen)
	case n == 0:
		return faultf(Closed, "idle connection closed by the service")
	}
	return faultf(Repeated, "bytes that nobody asked for, beginning with %q", c.probe[:n])
}

func isRefused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET)
}
