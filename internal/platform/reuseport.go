package platform

import (
	"fmt"
	"net/netip"
)

// Grouped reports whether a socket shares its address with others by SO_REUSEPORT; where it cannot be told, false.
func Grouped(fd int) bool { return grouped(fd) }

// LeaveGroup has the kernel give the datagrams that were a UDP socket's part of an SO_REUSEPORT group to the others of the group, for every
// process that holds the socket. No datagram is dropped, unless no other is left, and what is queued can be read and answered. It cannot
// be undone. A socket that is bound to no one address gets one: that from which client is reached, or, if that is not valid, hosts
// far away.
//
// It needs no privilege. TCP has nothing like it.
func LeaveGroup(fd int, client netip.Addr) error {
	if err := leaveGroup(fd, client); err != nil {
		return fmt.Errorf("leave the group of descriptor %d: %w", fd, err)
	}
	return nil
}
