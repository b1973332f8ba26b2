package platform

import (
	"errors"
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

func checkListening(fd int) error {
	_, listening, _, err := socketKind(fd)
	if err == nil && !listening {
		err = errors.New("the socket does not listen")
	}
	return err
}

func checkDatagram(fd int) error {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return os.NewSyscallError("getsockopt", err)
	}
	if kind != unix.SOCK_DGRAM {
		return fmt.Errorf("socket of type %d carries no datagrams", kind)
	}
	return nil
}

// connOptions are what net.FileConn sets on TCP, and the values it sets (defaultTCPKeepAlive… in net/tcpsockopt.go).
var connOptions = [...]struct{ level, option, set int }{
	{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
	{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
	{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15},
	{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15},
	{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 9},
}

type keptOptions struct {
	values [len(connOptions)]int
	known  [len(connOptions)]bool
}

func saveOptions(fd int) (keptOptions, error) {
	var k keptOptions
	for i, o := range connOptions {
		v, err := unix.GetsockoptInt(fd, o.level, o.option)
		switch {
		case err == nil:
			k.values[i], k.known[i] = v, true
		case err == unix.EBADF || err == unix.ENOTSOCK:
			return k, os.NewSyscallError("getsockopt", err)
		case o.option == unix.TCP_NODELAY:
			return k, nil // not TCP: net sets nothing
		}
		// Multipath TCP of an older kernel lacks some of them; net's setting fails there as well.
	}
	return k, nil
}

func (k keptOptions) restore(fd int) error {
	for i, o := range connOptions {
		if !k.known[i] || k.values[i] == o.set {
			continue
		}
		if err := unix.SetsockoptInt(fd, o.level, o.option, k.values[i]); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	return nil
}

func copyKeepAlive(to, from int) error {
	for _, o := range connOptions {
		if o.option == unix.TCP_NODELAY {
			continue
		}
		v, err := unix.GetsockoptInt(from, o.level, o.option)
		if err != nil {
			continue // Multipath TCP of an older kernel lacks some of them
		}
		if err := unix.SetsockoptInt(to, o.level, o.option, v); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	return nil
}

func relisten(fd int) error {
	network, listening, _, err := socketKind(fd)
	if err != nil {
		return err
	}
	if network != "unix" || !listening {
		return errors.New("it is not a listening unix socket")
	}
	// The kernel lowers the backlog to net.core.somaxconn, which is what package net asks for.
	return os.NewSyscallError("listen", unix.Listen(fd, math.MaxInt32))
}

// dropSYN refuses segments with SYN and without ACK. Everything else must pass: the ACK that ends a handshake under way
// also meets the listener's filter, and connections accepted from then on inherit it. A socket filter on TCP sees the
// segment from its TCP header on; byte 13 holds the flags.
var dropSYN = []unix.SockFilter{
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 13},
	{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: 0x12},
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: 0x02, Jt: 0, Jf: 1},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	{Code: unix.BPF_RET | unix.BPF_K, K: math.MaxUint32},
}

var dropAll = []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}

func deafen(fd int) error {
	network, listening, _, err := socketKind(fd)
	if err != nil {
		return err
	}
	var filter []unix.SockFilter
	switch {
	case network == "tcp" && listening:
		filter = dropSYN
	case network == "udp":
		filter = dropAll
	case network == "unixgram":
		// A filter would drop what its sender was told has been sent.
		return os.NewSyscallError("shutdown", unix.Shutdown(fd, unix.SHUT_RD))
	default:
		return fmt.Errorf("it is neither a TCP listener nor a datagram socket: %w", errors.ErrUnsupported)
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program)
	if err == unix.EPERM {
		return fmt.Errorf("a filter on TCP needs CAP_NET_ADMIN: %w: %w", err, errors.ErrUnsupported)
	}
	return os.NewSyscallError("setsockopt", err)
}
