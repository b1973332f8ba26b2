//go:build !unix || aix || solaris || illumos

package handovertest

import (
	"errors"
	"syscall"
)

// peek reads a byte, for want of MSG_PEEK without blocking. Consuming it does no
// harm: whatever is seen here ends the connection. An expired deadline reads
// nothing, so that looking at once takes a millisecond.
func (c *conn) peek(wait bool) error { return c.taste(wait) }

func isRefused(err error) bool {
	const wsaECONNRESET, wsaECONNREFUSED = syscall.Errno(10054), syscall.Errno(10061) // Windows keeps its own numbers
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, wsaECONNREFUSED) || errors.Is(err, wsaECONNRESET)
}
