package platform

import (
	"fmt"
	"net/netip"
	"os"
	"syscall"
)

// FD gives the descriptor behind c (a net.TCPListener, a net.TCPConn, an *os.File, a Socket) without a duplicate and
// without a change of its blocking mode, as File and Fd would make. It stays c's, and is valid only while the caller
// keeps c open and reachable.
func FD(c syscall.Conn) (int, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("get descriptor of %T: %w", c, err)
	}
	fd := -1
	if err := raw.Control(func(v uintptr) { fd = int(v) }); err != nil {
		return -1, fmt.Errorf("get descriptor of %T: %w", c, err)
	}
	return fd, nil
}

// CloseFD closes a descriptor that the caller owns and that no net.Conn or os.File stands for.
func CloseFD(fd int) error { return os.NewSyscallError("close", closeFD(fd)) }

// Duplicate returns another descriptor of what fd stands for, close-on-exec; the caller owns it.
func Duplicate(fd int) (int, error) {
	other, err := duplicate(fd)
	return other, os.NewSyscallError("fcntl", err)
}

// Readable reports whether a read from c would return at once, with data or with the end; where it cannot be told, false.
func Readable(c syscall.Conn) bool { return readable(c) }

// Unsent reports whether the peer of a connected stream socket has yet to acknowledge what was written, or that nothing follows;
// where it cannot be told, false.
func Unsent(c syscall.Conn) bool { return unsent(c) }

// Queued reports whether a datagram waits to be read from c; where it cannot be told, false.
func Queued(c syscall.Conn) bool {
	_, is := queued(c)
	return is
}

// NextSender returns the address, not valid where it has none on the network, of the sender of the datagram that waits to be read from c
// next, if there is one.
func NextSender(c syscall.Conn) (from netip.Addr, is bool) { return queued(c) }

// SocketKind tells what a descriptor from outside really is: network as package net names it, without the digit
// ("tcp", "udp", "unix", "unixgram", "unixpacket"), whether it listens, and its own address as package net prints it
// ("127.0.0.1:80", "[::]:80", "/run/x.sock", "@abstract"; empty for an unnamed unix socket). The descriptor stays the
// caller's. What is not a socket of these kinds is an error.
func SocketKind(fd int) (network string, listening bool, addr string, err error) {
	network, listening, addr, err = socketKind(fd)
	if err != nil {
		return "", false, "", fmt.Errorf("examine descriptor %d: %w", fd, err)
	}
	return network, listening, addr, nil
}

// FreeDescriptors is how many more descriptors this process can open: its soft RLIMIT_NOFILE minus those open.
func FreeDescriptors() (int, error) {
	n, err := freeDescriptors()
	if err != nil {
		return 0, fmt.Errorf("count free descriptors: %w", err)
	}
	return n, nil
}
