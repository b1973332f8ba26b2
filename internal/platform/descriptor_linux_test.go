package platform

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestHandoversAreSupportedHere(t *testing.T) {
	must(t, Supported())
	if MonotonicUsec() == 0 {
		t.Fatal("the monotonic clock stands at zero")
	}
}

func TestFDLeavesTheBlockingModeAlone(t *testing.T) {
	leaksNothing(t)
	ln := listen(t, "tcp", "127.0.0.1:0")
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	defer w.Close()
	for _, c := range []syscall.Conn{ln, r, w} {
		fd, err := FD(c)
		must(t, err)
		if !isNonblocking(t, fd) {
			t.Errorf("%T is blocking", c)
		}
	}
	must(t, ln.Close())
	if fd, err := FD(ln); err == nil {
		t.Errorf("a closed listener has descriptor %d", fd)
	}
}

func TestSocketKindNamesWhatPackageNetMade(t *testing.T) {
	leaksNothing(t)
	dir := t.TempDir()
	closer := func(c io.Closer) { t.Cleanup(func() { _ = c.Close() }) }
	for _, c := range []struct{ network, addr, want string }{
		{"tcp", "127.0.0.1:0", "tcp"},
		{"tcp", "[::1]:0", "tcp"},
		{"tcp", ":0", "tcp"},
		{"tcp4", ":0", "tcp"},
		{"unix", filepath.Join(dir, "stream"), "unix"},
		{"unix", fmt.Sprintf("@handover-platform-%d", os.Getpid()), "unix"},
		{"unixpacket", filepath.Join(dir, "packet"), "unixpacket"},
	} {
		ln, err := net.Listen(c.network, c.addr)
		must(t, err)
		closer(ln)
		fd, err := FD(ln.(syscall.Conn))
		must(t, err)
		network, listening, addr, err := SocketKind(fd)
		must(t, err)
		if network != c.want || !listening || addr != ln.Addr().String() {
			t.Errorf("%s %s: %s, %t, %s", c.network, ln.Addr(), network, listening, addr)
		}
	}
	for _, c := range []struct{ network, addr, want string }{
		{"udp", "127.0.0.1:0", "udp"},
		{"udp", "[::1]:0", "udp"},
		{"unixgram", filepath.Join(dir, "gram"), "unixgram"},
	} {
		pc, err := net.ListenPacket(c.network, c.addr)
		must(t, err)
		closer(pc)
		fd, err := FD(pc.(syscall.Conn))
		must(t, err)
		network, listening, addr, err := SocketKind(fd)
		must(t, err)
		if network != c.want || listening || addr != pc.LocalAddr().String() {
			t.Errorf("%s %s: %s, %t, %s", c.network, pc.LocalAddr(), network, listening, addr)
		}
	}
	a, _ := pair(t)
	if network, listening, addr, err := SocketKind(a.fd(t)); network != "unix" || listening || addr != "" || err != nil {
		t.Errorf("unnamed: %s, %t, %q, %v", network, listening, addr, err)
	}
	if _, _, _, err := SocketKind(0); err == nil {
		t.Error("standard input is a socket")
	}
}

func TestFreeDescriptorsCountsDown(t *testing.T) {
	leaksNothing(t)
	before, err := FreeDescriptors()
	must(t, err)
	f, err := os.Open(os.DevNull)
	must(t, err)
	defer f.Close()
	after, err := FreeDescriptors()
	must(t, err)
	if after != before-1 {
		t.Fatalf("%d free, %d before one was opened", after, before)
	}
	fd, err := FD(f)
	must(t, err)
	d := duplicated(t, fd)
	must(t, CloseFD(d))
	if CloseFD(d) == nil {
		t.Fatal("closed twice without an error")
	}
}
