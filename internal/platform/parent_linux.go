package platform

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func subreaper() error { return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

func reap() (exits []Exit) {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil || pid <= 0:
			return exits
		}
		exits = append(exits, exit(pid, status))
	}
}

func exit(pid int, status unix.WaitStatus) Exit {
	if status.Signaled() {
		signal := status.Signal()
		return Exit{PID: pid, Code: 128 + int(signal), How: "killed by " + unix.SignalName(signal), Failed: true}
	}
	code := status.ExitStatus()
	return Exit{PID: pid, Code: code, How: fmt.Sprintf("exit status %d", code), Failed: code != 0}
}

func setCloseOnExec(fd int, on bool) error {
	flags := 0
	if on {
		flags = unix.FD_CLOEXEC
	}
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, flags)
	return err
}

func execute(path string, args, env []string) error { return syscall.Exec(path, args, env) }

func sealed(name string, data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err = f.Write(data); err == nil {
		_, err = f.Seek(0, 0)
	}
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE)
		err = os.NewSyscallError("fcntl", err)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}
