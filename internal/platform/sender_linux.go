package platform

import (
	"os"
	"syscall"
)

func credentialsSpace() int {
	return syscall.CmsgSpace(syscall.SizeofUcred) + syscall.CmsgSpace(MaxDescriptors*4)
}

func passCredentials(c syscall.Conn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var fault error
	err = raw.Control(func(fd uintptr) {
		fault = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_PASSCRED, 1)
	})
	if err != nil {
		return err
	}
	return os.NewSyscallError("setsockopt", fault)
}

func sender(control []byte) (pid int) {
	messages, err := syscall.ParseSocketControlMessage(control)
	if err != nil {
		return 0
	}
	for i := range messages {
		if fds, err := syscall.ParseUnixRights(&messages[i]); err == nil {
			for _, fd := range fds {
				_ = CloseFD(fd)
			}
		}
		if credentials, err := syscall.ParseUnixCredentials(&messages[i]); err == nil {
			pid = int(credentials.Pid)
		}
	}
	return pid
}
