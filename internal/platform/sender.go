package platform

import (
	"net/netip"
	"syscall"
)

// PassCredentials has the kernel name the sender of each message that c, a unix socket, receives (SO_PASSCRED in unix(7)).
func PassCredentials(c syscall.Conn) error { return passCredentials(c) }

// CredentialsSpace is how long the control data of one message may be: credentials, and more descriptors than anyone sends along.
func CredentialsSpace() int { return credentialsSpace() }

// Sender takes from a message's control data who sent it, 0 if that is not known, and closes the descriptors that came along.
func Sender(control []byte) (pid int) { return sender(control) }

// AcceptedInode asks the kernel for the inode of one established TCP socket, by its own address and its peer's, whatever else there
// is on this host (sock_diag(7)). It is empty as long as no process has accepted the connection.
func AcceptedInode(local, remote netip.AddrPort) (string, error) { return acceptedInode(local, remote) }
