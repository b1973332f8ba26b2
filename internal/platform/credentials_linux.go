package platform

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

func peerCredentials(fd int) (Credentials, error) {
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return Credentials{}, os.NewSyscallError("getsockopt", err)
	}
	// The kernel answers for any socket, with pid 0 and uid -1 where there is no peer to name.
	if domain != unix.AF_UNIX {
		return Credentials{}, errors.New("not a unix socket")
	}
	u, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return Credentials{}, os.NewSyscallError("getsockopt", err)
	}
	if u.Uid == ^uint32(0) {
		return Credentials{}, errors.New("the socket has no peer")
	}
	return Credentials{PID: int(u.Pid), UID: int(u.Uid), GID: int(u.Gid)}, nil
}
