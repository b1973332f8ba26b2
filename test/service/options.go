package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// listenConfig asks for the keep-alive of $KEEP_ALIVE seconds, or none if they are negative, for SO_REUSEPORT where the build has workers,
// and for plain TCP if $MULTIPATH is "off". Where the flaw is "options" it asks for twice those seconds, and for a receive buffer, a priority, a linger
// time and a device of its own: a listener that is passed on has others.
func listenConfig(grouped bool) (c net.ListenConfig) {
	if os.Getenv("MULTIPATH") == "off" {
		c.SetMultipathTCP(false)
	}
	seconds, _ := strconv.Atoi(os.Getenv("KEEP_ALIVE"))
	if seconds < 0 {
		c.KeepAlive = -1
	}
	switch {
	case flaw == "options":
		seconds *= 2
		c.Control = changed
	case grouped:
		c.Control = reusesPort
	}
	if seconds > 0 {
		c.KeepAliveConfig = net.KeepAliveConfig{Enable: true, Idle: time.Duration(seconds) * time.Second, Interval: 3 * time.Second, Count: 4}
	}
	return c
}

func reusesPort(_, _ string, raw syscall.RawConn) error {
	var err error
	ctl := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
	return errors.Join(ctl, err)
}

func changed(_, _ string, raw syscall.RawConn) error {
	var err error
	ctl := raw.Control(func(fd uintptr) {
		err = errors.Join(
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 100_000),
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PRIORITY, 5),
			unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 7}),
			unix.SetsockoptString(int(fd), unix.SOL_SOCKET, unix.SO_BINDTODEVICE, "lo"),
		)
	})
	return errors.Join(ctl, err)
}

// keepAlive answers its own process and what the kernel has for the connection of SO_KEEPALIVE, TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT.
func keepAlive(w http.ResponseWriter, _ *http.Request) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer c.Close()
	values := make([]int, 4)
	raw, err := c.(syscall.Conn).SyscallConn()
	if err == nil {
		ctl := raw.Control(func(fd uintptr) {
			for i, o := range [][2]int{
				{unix.SOL_SOCKET, unix.SO_KEEPALIVE}, {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE}, {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL}, {unix.IPPROTO_TCP, unix.TCP_KEEPCNT},
			} {
				if values[i], err = unix.GetsockoptInt(int(fd), o[0], o[1]); err != nil {
					return
				}
			}
		})
		err = errors.Join(err, ctl)
	}
	said := fmt.Sprintln("keepalive", os.Getpid(), values)
	if err != nil {
		said = err.Error()
	}
	fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(said), said)
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
