package platform

import (
	"fmt"
	"syscall"
)

// Credentials name the process at the other end of a unix socket.
type Credentials struct {
	PID int // as seen from here; 0 if that process is in a PID namespace that this one cannot see into
	UID int // effective, as seen from here; 65534 if unmapped in this user namespace
	GID int
}

// PeerCredentials tells who made the other end of a connected unix stream socket (SO_PEERCRED): the process that
// connected, the one that last called listen, or the one that made the pair, as it was at that instant. The kernel
// vouches for it, not for who holds the descriptor by now.
func PeerCredentials(c syscall.Conn) (Credentials, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return Credentials{}, fmt.Errorf("get peer credentials: %w", err)
	}
	var creds Credentials
	var fault error
	if err := raw.Control(func(fd uintptr) { creds, fault = peerCredentials(int(fd)) }); err != nil {
		return Credentials{}, fmt.Errorf("get peer credentials: %w", err)
	}
	if fault != nil {
		return Credentials{}, fmt.Errorf("get peer credentials: %w", fault)
	}
	return creds, nil
}
