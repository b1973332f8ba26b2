package platform

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

func closeFD(fd int) error { return unix.Close(fd) }

func duplicate(fd int) (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0) }

func socketKind(fd int) (network string, listening bool, addr string, err error) {
	var domain, kind, protocol, accepting int
	for _, o := range []struct {
		value  *int
		option int
	}{
		{&domain, unix.SO_DOMAIN},
		{&kind, unix.SO_TYPE},
		{&protocol, unix.SO_PROTOCOL},
		{&accepting, unix.SO_ACCEPTCONN},
	} {
		if *o.value, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, o.option); err != nil {
			return "", false, "", os.NewSyscallError("getsockopt", err)
		}
	}
	if network = networkName(domain, kind, protocol); network == "" {
		return "", false, "", fmt.Errorf("socket of domain %d, type %d, protocol %d: %w", domain, kind, protocol, errors.ErrUnsupported)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return "", false, "", os.NewSyscallError("getsockname", err)
	}
	return network, accepting != 0, formatAddress(sa), nil
}

// queued looks at the queue itself: poll calls a socket that was shut down readable, and FIONREAD says 0 of an empty datagram.
func queued(c syscall.Conn) (from netip.Addr, is bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return netip.Addr{}, false
	}
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		_, sender, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		is = err == nil
		switch sender := sender.(type) {
		case *unix.SockaddrInet4:
			from = netip.AddrFrom4(sender.Addr)
		case *unix.SockaddrInet6:
			from = netip.AddrFrom16(sender.Addr)
		}
	})
	return from, err == nil && is
}

func networkName(domain, kind, protocol int) string {
	switch domain {
	case unix.AF_INET, unix.AF_INET6:
		switch protocol {
		case unix.IPPROTO_TCP, unix.IPPROTO_MPTCP: // package net listens with Multipath TCP where the kernel has it
			return "tcp"
		case unix.IPPROTO_UDP:
			return "udp"
		}
	case unix.AF_UNIX:
		switch kind {
		case unix.SOCK_STREAM:
			return "unix"
		case unix.SOCK_DGRAM:
			return "unixgram"
		case unix.SOCK_SEQPACKET:
			return "unixpacket"
		}
	}
	return ""
}

func formatAddress(sa unix.Sockaddr) string {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return (&net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}).String()
	case *unix.SockaddrInet6:
		return (&net.TCPAddr{IP: sa.Addr[:], Port: sa.Port, Zone: zoneName(sa.ZoneId)}).String()
	case *unix.SockaddrUnix:
		if sa.Name == "@" { // how an unnamed socket is decoded
			return ""
		}
		return sa.Name
	}
	return ""
}

func zoneName(index uint32) string {
	if index == 0 {
		return ""
	}
	if i, err := net.InterfaceByIndex(int(index)); err == nil {
		return i.Name
	}
	return strconv.Itoa(int(index))
}

func freeDescriptors() (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, os.NewSyscallError("getrlimit", err)
	}
	dir, err := os.Open("/proc/self/fd")
	if errors.Is(err, unix.EMFILE) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return 0, err
	}
	open := len(names) - 1 // without dir itself
	return max(0, int(min(limit.Cur, 1<<30))-open), nil
}
