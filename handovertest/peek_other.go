//go:build !unix || aix || solaris || illumos

package handovertest

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// peek reads a byte, for want of MSG_PEEK without blocking. Consuming it does no
// harm: whatever is seen here ends the connection. An expired deadline reads
// nothing, so that looking at once takes a millisecond.
func (c *conn) peek(wait bool) error {
	if !wait {
		c.SetReadDeadline(time.Now().Add(time.Millisecond))
		defer c.SetReadDeadline(time.Time{})
	}
	n, err := c.Conn.Read(c.probe[:])
	switch {
	case n > 0:
		return faultf(Repeated, "bytes that nobody asked for, beginning with %q", c.probe[:n])
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil
	}
	return faultf(Closed, "idle connection: %v", err)
}

func isRefused(err error) bool {
	const wsaECONNRESET, wsaECONNREFUSED = syscall.Errno(10054), syscall.Errno(10061) // Windows keeps its own numbers
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, wsaECONNREFUSED) || errors.Is(err, wsaECONNRESET)
}
