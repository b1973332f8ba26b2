package platform

import (
	"fmt"
	"syscall"
)

// ProbeSocket makes an unbound socket as package net makes one to listen on, before it binds: close-on-exec, with
// IPV6_V6ONLY and, on stream sockets, SO_REUSEADDR as net sets them, and with control (which may be nil) applied as
// net.ListenConfig.Control would be. The caller owns it.
//
// network is one of net's: "tcp" and "udp" mean IPv6 that takes IPv4 too, as for a wildcard or an IPv6 literal; for an
// IPv4 literal pass "tcp4" or "udp4". control is told the digit, as by net, and an empty address.
func ProbeSocket(network string, control func(network, address string, c syscall.RawConn) error) (fd int, err error) {
	fd, told, err := probeSocket(network)
	if err != nil {
		return -1, fmt.Errorf("make probe socket %q: %w", network, err)
	}
	if control == nil {
		return fd, nil
	}
	if err := control(told, "", unboundConn(fd)); err != nil {
		_ = CloseFD(fd)
		return -1, fmt.Errorf("control probe socket %q: %w", network, err)
	}
	return fd, nil
}

// OptionDifferences compares the socket options that a user can have set between an adopted socket and a fresh probe of
// the same kind, and names each that differs with both values as the kernel reports them (buffer sizes doubled), e.g.
// "SO_RCVBUF is 131072, asked for 4194304". What either socket does not have is not compared. Both stay the caller's.
func OptionDifferences(adopted, fresh int) []string { return optionDifferences(adopted, fresh) }

// unboundConn is the RawConn of a socket that nobody polls.
type unboundConn int

func (c unboundConn) Control(f func(fd uintptr)) error {
	f(uintptr(c))
	return nil
}

func (c unboundConn) Read(func(fd uintptr) bool) error  { return syscall.EINVAL }
func (c unboundConn) Write(func(fd uintptr) bool) error { return syscall.EINVAL }
