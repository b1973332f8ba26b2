package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// listenConfig asks for the keep-alive of $KEEP_ALIVE seconds, or none if they are negative. Where the flaw is "options" it asks for
// twice that, and for a receive buffer, a congestion control and a TTL of its own: a listener that is passed on has others.
func listenConfig() (c net.ListenConfig) {
	seconds, _ := strconv.Atoi(os.Getenv("KEEP_ALIVE"))
	if seconds < 0 {
		c.KeepAlive = -1
	}
	if flaw == "options" {
		seconds *= 2
		c.Control = changed
	}
	if seconds > 0 {
		c.KeepAliveConfig = net.KeepAliveConfig{Enable: true, Idle: time.Duration(seconds) * time.Second, Interval: 3 * time.Second, Count: 4}
	}
	return c
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
