package platform

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

func grouped(fd int) bool {
	on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT)
	return err == nil && on != 0
}

// discard is a port from which nobody sends (RFC 863). Port 0 would stand for every port.
const discard = 9

// leaveGroup connects the socket: the kernel passes over a connected one where it shares out a group (reuseport_select_sock_by_hash in
// net/core/sock_reuseport.c), and else gives it only what its peer sends, which is one that sends nothing.
func leaveGroup(fd int, client netip.Addr) error {
	network, _, _, err := socketKind(fd)
	if err != nil {
		return err
	}
	if network != "udp" {
		return fmt.Errorf("it is no UDP socket: %w", errors.ErrUnsupported)
	}
	own, err := unix.Getsockname(fd)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	for _, peer := range silentPeers(own, client) {
		if err = unix.Connect(fd, peer); err == nil {
			return nil
		}
	}
	return os.NewSyscallError("connect", err)
}

// silentPeers are those to try, in order: the socket's own address or, where it has none, the client's, one of a net kept for
// documentation, to which the default route leads (RFC 5737, RFC 3849), and that of this host.
func silentPeers(own unix.Sockaddr, client netip.Addr) (peers []unix.Sockaddr) {
	switch own := own.(type) {
	case *unix.SockaddrInet4:
		if own.Addr != [4]byte{} {
			return []unix.Sockaddr{&unix.SockaddrInet4{Port: discard, Addr: own.Addr}}
		}
		if client.Unmap().Is4() {
			peers = append(peers, &unix.SockaddrInet4{Port: discard, Addr: client.Unmap().As4()})
		}
		peers = append(peers, &unix.SockaddrInet4{Port: discard, Addr: [4]byte{192, 0, 2, 1}},
			&unix.SockaddrInet4{Port: discard, Addr: [4]byte{127, 0, 0, 1}})
	case *unix.SockaddrInet6:
		if own.Addr != [16]byte{} {
			return []unix.Sockaddr{&unix.SockaddrInet6{Port: discard, Addr: own.Addr, ZoneId: own.ZoneId}}
		}
		if client.IsValid() {
			peers = append(peers, &unix.SockaddrInet6{Port: discard, Addr: client.As16()}) // IPv4 stays mapped
		}
		peers = append(peers, &unix.SockaddrInet6{Port: discard, Addr: [16]byte{0x20, 0x01, 0x0d, 0xb8, 15: 1}},
			&unix.SockaddrInet6{Port: discard, Addr: [16]byte{15: 1}})
	}
	return peers
}
