package main

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// listenConfig asks for a receive buffer of its own where the flaw is "options": a listener that is passed on has another.
func listenConfig() (c net.ListenConfig) {
	if flaw != "options" {
		return c
	}
	c.Control = func(_, _ string, raw syscall.RawConn) error {
		var err error
		if cerr := raw.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 100_000)
		}); cerr != nil {
			return cerr
		}
		return err
	}
	return c
}
