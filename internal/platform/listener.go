package platform

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// The three functions below make package net's own types of a descriptor, which must be a fitting socket. They take
// ownership: the descriptor passed in is closed in every case, as package net works on a duplicate of its own, which is
// close-on-exec. O_NONBLOCK, which other holders of the same socket share, is only ever set, never cleared.

// Listener makes a listener of a listening socket. A unix listener made here never removes its path on Close: the path
// belongs to the service, not to the generation that leaves.
func Listener(fd int) (net.Listener, error) {
	f := os.NewFile(uintptr(fd), "listener")
	if f == nil {
		return nil, fmt.Errorf("adopt listener: no descriptor %d", fd)
	}
	defer f.Close()
	if err := checkListening(fd); err != nil {
		return nil, fmt.Errorf("adopt listener from descriptor %d: %w", fd, err)
	}
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("adopt listener from descriptor %d: %w", fd, err)
	}
	return ln, nil
}

// Conn makes a connection of a connected socket. The options that package net sets on every TCP connection it makes
// (TCP_NODELAY and keep-alive) are as they were afterwards: a connection that migrates keeps what its service chose.
func Conn(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "connection")
	if f == nil {
		return nil, fmt.Errorf("adopt connection: no descriptor %d", fd)
	}
	defer f.Close()
	kept, err := saveOptions(fd)
	if err != nil {
		return nil, fmt.Errorf("adopt connection from descriptor %d: %w", fd, err)
	}
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("adopt connection from descriptor %d: %w", fd, err)
	}
	if err := kept.restore(fd); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("adopt connection from descriptor %d: %w", fd, err)
	}
	return c, nil
}

// KeepAliveOf makes keep-alive of an accepted TCP connection what it is on the listener, as the kernel does, and package net undoes.
func KeepAliveOf(ln, c syscall.Conn) error {
	to, err := FD(c)
	if err != nil {
		return fmt.Errorf("keep alive: %w", err)
	}
	from, err := FD(ln)
	if err != nil {
		return fmt.Errorf("keep alive: %w", err)
	}
	if err := copyKeepAlive(to, from); err != nil {
		return fmt.Errorf("keep alive: %w", err)
	}
	return nil
}

// PacketConn makes a packet connection of a datagram socket.
func PacketConn(fd int) (net.PacketConn, error) {
	f := os.NewFile(uintptr(fd), "datagram socket")
	if f == nil {
		return nil, fmt.Errorf("adopt datagram socket: no descriptor %d", fd)
	}
	defer f.Close()
	if err := checkDatagram(fd); err != nil {
		return nil, fmt.Errorf("adopt datagram socket from descriptor %d: %w", fd, err)
	}
	pc, err := net.FilePacketConn(f)
	if err != nil {
		return nil, fmt.Errorf("adopt datagram socket from descriptor %d: %w", fd, err)
	}
	return pc, nil
}

// Bind makes a unix socket at path, whose directory must exist, with a mode. A socket that nobody answers at is a dead process's, and is replaced; by a
// lock beside it, that of one process at a time. Closing the listener leaves the path.
func Bind(path string, mode os.FileMode) (*net.UnixListener, error) {
	unlock, err := Lock(path + ".lock")
	if err != nil {
		return nil, err
	}
	defer unlock()
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = c.Close()
		return nil, fmt.Errorf("another process answers at %s", path)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() != os.ModeSocket {
		return nil, fmt.Errorf("what lies at %s is no socket", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	ln.SetUnlinkOnClose(false)
	if err := os.Chmod(path, mode); err != nil {
		_ = ln.Close()
		return nil, err
	}
	return ln, nil
}

// Relisten calls listen(2) again on a listening unix socket, with the largest backlog the host allows. A client's
// SO_PEERCRED names whoever listened last, so an inherited takeover socket would go on naming a dead process.
func Relisten(fd int) error {
	if err := relisten(fd); err != nil {
		return fmt.Errorf("listen again on descriptor %d: %w", fd, err)
	}
	return nil
}

// Deafen makes a TCP listener ignore new SYNs, for every process that holds it, so that it can be emptied and closed
// without a connection arriving in between. Queued connections and handshakes under way are not touched. A client that
// is ignored tries again after a second (the initial timeout of RFC 6298). A datagram socket gets no new datagrams: UDP drops
// and counts them as where the buffer is full, the sender of a unixgram is told EPIPE; what is queued can be read.
//
// It is a help where it can be had, and elsewhere answers errors.ErrUnsupported with the listener as it was. Linux commit
// 5d39580f68e6, also in stable kernels, wants CAP_NET_ADMIN for a filter on TCP. Multipath TCP, which package net
// listens with where the kernel can unless net.ListenConfig.SetMultipathTCP(false) says otherwise, takes no filter, and
// neither does a unix socket.
func Deafen(fd int) error {
	if err := deafen(fd); err != nil {
		return fmt.Errorf("deafen descriptor %d: %w", fd, err)
	}
	return nil
}
