package platform

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"strconv"
	"syscall"
)

// Numbers of sock_diag(7), which package syscall does not have.
const (
	netlinkSockDiag  = 4  // NETLINK_SOCK_DIAG
	sockDiagByFamily = 20 // SOCK_DIAG_BY_FAMILY
	tcpEstablished   = 1  // TCP_ESTABLISHED in include/net/tcp_states.h

	sizeofSockID  = 48                    // struct inet_diag_sockid
	sizeofRequest = 8 + sizeofSockID      // struct inet_diag_req_v2
	inodeOffset   = 4 + sizeofSockID + 16 // of struct inet_diag_msg
)

func acceptedInode(local, remote netip.AddrPort) (inode string, err error) {
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, netlinkSockDiag)
	if err != nil {
		return "", os.NewSyscallError("socket", err)
	}
	defer func() { _ = syscall.Close(fd) }()
	// The kernel has answered when sendto returns. The bound is for one that does not.
	if err := syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &syscall.Timeval{Sec: 1}); err != nil {
		return "", os.NewSyscallError("setsockopt", err)
	}
	if err := syscall.Sendto(fd, diagRequest(local, remote), 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		return "", os.NewSyscallError("sendto", err)
	}
	buffer := make([]byte, os.Getpagesize())
	n, _, err := syscall.Recvfrom(fd, buffer, 0)
	if err != nil {
		return "", os.NewSyscallError("recvfrom", err)
	}
	messages, err := syscall.ParseNetlinkMessage(buffer[:n])
	if err != nil || len(messages) == 0 {
		return "", errors.Join(errors.New("sock_diag: no answer"), err)
	}
	switch m := messages[0]; {
	case m.Header.Type == syscall.NLMSG_ERROR && len(m.Data) >= 4:
		return "", os.NewSyscallError("sock_diag", syscall.Errno(-int32(binary.NativeEndian.Uint32(m.Data))))
	case m.Header.Type != sockDiagByFamily || len(m.Data) < inodeOffset+4:
		return "", errors.New("sock_diag: an answer of another kind")
	case m.Data[1] != tcpEstablished: // where there is none, the kernel names the listener
		return "", nil
	default:
		if number := binary.NativeEndian.Uint32(m.Data[inodeOffset:]); number != 0 {
			inode = strconv.FormatUint(uint64(number), 10)
		}
		return inode, nil
	}
}

// diagRequest is a struct nlmsghdr and a struct inet_diag_req_v2.
func diagRequest(local, remote netip.AddrPort) []byte {
	b := make([]byte, 0, syscall.SizeofNlMsghdr+sizeofRequest)
	b = binary.NativeEndian.AppendUint32(b, uint32(cap(b)))
	b = binary.NativeEndian.AppendUint16(b, sockDiagByFamily)
	b = binary.NativeEndian.AppendUint16(b, syscall.NLM_F_REQUEST)
	b = append(b, make([]byte, 8)...) // sequence, sender
	family := byte(syscall.AF_INET6)
	if local.Addr().Is4() {
		family = syscall.AF_INET
	}
	b = append(b, family, syscall.IPPROTO_TCP, 0, 0)
	b = binary.NativeEndian.AppendUint32(b, 1<<tcpEstablished)
	b = binary.BigEndian.AppendUint16(b, local.Port())
	b = binary.BigEndian.AppendUint16(b, remote.Port())
	for _, addr := range []netip.Addr{local.Addr(), remote.Addr()} {
		var field [16]byte
		copy(field[:], addr.AsSlice())
		b = append(b, field[:]...)
	}
	b = append(b, 0, 0, 0, 0)                                        // any interface
	return append(b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff) // INET_DIAG_NOCOOKIE
}
