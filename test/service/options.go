package main

import (
	"errors"
	"net"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// listenConfig asks for a receive buffer of its own where the flaw is "options": a listener that is passed on has another. It asks
// for SO_REUSEPORT where the build has workers, and for plain TCP if $MULTIPATH is "off".
func listenConfig(grouped bool) (c net.ListenConfig) {
	if os.Getenv("MULTIPATH") == "off" {
		c.SetMultipathTCP(false)
	}
	if flaw != "options" && !grouped {
		return c
	}
	c.Control = func(_, _ string, raw syscall.RawConn) error {
		var err error
		if cerr := raw.Control(func(fd uintptr) {
			if flaw == "options" {
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 100_000)
			}
			if grouped {
				err = errors.Join(err, unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
			}
		}); cerr != nil {
			return cerr
		}
		return err
	}
	return c
}

// workers returns what the file says, 0 if there is none.
func workers() (int, error) {
	file := os.Getenv("WORKERS")
	if file == "" {
		return 0, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(text))
}

// group returns each of the addresses as often as there are workers.
func group(addresses []string, workers int) (all []string) {
	for _, address := range addresses {
		for range max(1, workers) {
			all = append(all, address)
		}
	}
	return all
}

// withoutNetAdmin executes this program anew without CAP_NET_ADMIN, as $NET_ADMIN is "off", and returns where that is so.
func withoutNetAdmin() error {
	runtime.LockOSThread() // capabilities are a thread's
	defer runtime.UnlockOSThread()
	if os.Getenv("NET_ADMIN") != "off" {
		return nil
	}
	held, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, unix.CAP_NET_ADMIN, 0, 0, 0)
	if err != nil || held == 0 {
		return err
	}
	if err := unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_NET_ADMIN, 0, 0, 0); err != nil {
		return nil //nolint:nilerr // who may not drop it is not root, and has none
	}
	return unix.Exec(os.Args[0], os.Args, os.Environ())
}
