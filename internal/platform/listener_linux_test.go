package platform

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// handed gives a duplicate of c's descriptor, to be taken over.
func handed(t *testing.T, c syscall.Conn) int {
	t.Helper()
	fd, err := FD(c)
	must(t, err)
	return duplicated(t, fd)
}

func listen(t *testing.T, network, addr string) *net.TCPListener {
	t.Helper()
	ln, err := net.Listen(network, addr)
	must(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	must(t, ln.(*net.TCPListener).SetDeadline(time.Now().Add(patience)))
	return ln.(*net.TCPListener)
}

// listenSinglePath makes a listener of plain TCP, which has more socket options than Multipath TCP.
func listenSinglePath(t *testing.T, control func(network, address string, c syscall.RawConn) error) *net.TCPListener {
	t.Helper()
	config := net.ListenConfig{Control: control}
	config.SetMultipathTCP(false)
	ln, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	must(t, ln.(*net.TCPListener).SetDeadline(time.Now().Add(patience)))
	return ln.(*net.TCPListener)
}

func dial(t *testing.T, ln net.Listener) net.Conn {
	t.Helper()
	c, err := net.DialTimeout(ln.Addr().Network(), ln.Addr().String(), patience)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	must(t, c.SetDeadline(time.Now().Add(patience)))
	return c
}

func TestAdoptedListenerServesWhatTheFirstHolderLeft(t *testing.T) {
	leaksNothing(t)
	ln := listen(t, "tcp", "127.0.0.1:0")
	original, err := FD(ln)
	must(t, err)
	adopted, err := Listener(handed(t, ln))
	must(t, err)
	defer adopted.Close()
	fd, err := FD(adopted.(*net.TCPListener))
	must(t, err)
	if !isNonblocking(t, original) || !isNonblocking(t, fd) || !isCloseOnExec(t, fd) {
		t.Fatal("adoption changed the flags of the shared socket")
	}
	if adopted.Addr().String() != ln.Addr().String() {
		t.Fatalf("adopted %s, want %s", adopted.Addr(), ln.Addr())
	}
	client := dial(t, ln)
	must(t, ln.Close())
	must(t, adopted.(*net.TCPListener).SetDeadline(time.Now().Add(patience)))
	c, err := adopted.Accept()
	must(t, err)
	defer c.Close()
	if c.RemoteAddr().String() != client.LocalAddr().String() {
		t.Fatal("another connection came out of the queue")
	}
}

func TestAdoptedUnixListenerLeavesItsPath(t *testing.T) {
	leaksNothing(t)
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	must(t, err)
	adopted, err := Listener(handed(t, ln.(*net.UnixListener)))
	must(t, err)
	must(t, adopted.Close())
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	must(t, ln.Close())
}

func TestWhatDoesNotFitIsRefusedAndClosed(t *testing.T) {
	leaksNothing(t)
	stream, err := ProbeSocket("tcp4", nil)
	must(t, err)
	if ln, err := Listener(stream); err == nil {
		_ = ln.Close()
		t.Error("a socket that does not listen became a listener")
	}
	if isOpen(stream) {
		t.Error("refused listener left open")
	}
	stream, err = ProbeSocket("tcp4", nil)
	must(t, err)
	if pc, err := PacketConn(stream); err == nil {
		_ = pc.Close()
		t.Error("a stream socket became a packet connection")
	}
	if isOpen(stream) {
		t.Error("refused packet connection left open")
	}
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	defer w.Close()
	pipe := handed(t, r)
	if c, err := Conn(pipe); err == nil {
		_ = c.Close()
		t.Error("a pipe became a connection")
	}
	if isOpen(pipe) {
		t.Error("refused connection left open")
	}
	for _, take := range []func() error{
		func() error { _, err := Listener(-1); return err },
		func() error { _, err := Conn(-1); return err },
		func() error { _, err := PacketConn(-1); return err },
	} {
		if take() == nil {
			t.Error("descriptor -1 was taken")
		}
	}
}

func TestMigratedConnectionKeepsItsOptionsAndBytes(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0")
	custom := net.KeepAliveConfig{Enable: true, Idle: 77 * time.Second, Interval: 7 * time.Second, Count: 3}
	for name, prepare := range map[string]func(*net.TCPConn) error{
		"as accepted":           func(*net.TCPConn) error { return nil },
		"delayed, no keepalive": func(c *net.TCPConn) error { return errors.Join(c.SetNoDelay(false), c.SetKeepAlive(false)) },
		"own keepalive":         func(c *net.TCPConn) error { return c.SetKeepAliveConfig(custom) },
	} {
		t.Run(name, func(t *testing.T) {
			leaksNothing(t)
			client := dial(t, ln)
			server, err := ln.AcceptTCP()
			must(t, err)
			must(t, prepare(server))
			original, err := FD(server)
			must(t, err)
			before, err := saveOptions(original)
			must(t, err)
			_, err = client.Write([]byte("unread"))
			must(t, err)
			moved, err := Conn(handed(t, server))
			must(t, err)
			defer moved.Close()
			if after, err := saveOptions(original); err != nil || after != before {
				t.Fatalf("options %v became %v, %v", before, after, err)
			}
			if !isNonblocking(t, original) {
				t.Fatal("the shared connection became blocking")
			}
			must(t, server.Close())
			p := make([]byte, 16)
			n, err := moved.Read(p)
			must(t, err)
			if string(p[:n]) != "unread" {
				t.Fatalf("read %q", p[:n])
			}
		})
	}
}

func TestPacketConnIsAdopted(t *testing.T) {
	leaksNothing(t)
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	adopted, err := PacketConn(handed(t, pc.(*net.UDPConn)))
	must(t, err)
	defer adopted.Close()
	must(t, pc.Close())
	client, err := net.Dial("udp", adopted.LocalAddr().String())
	must(t, err)
	defer client.Close()
	_, err = client.Write([]byte("datagram"))
	must(t, err)
	must(t, adopted.SetDeadline(time.Now().Add(patience)))
	p := make([]byte, 16)
	n, _, err := adopted.ReadFrom(p)
	must(t, err)
	if string(p[:n]) != "datagram" {
		t.Fatalf("read %q", p[:n])
	}
}

func TestPeerCredentialsFollowWhoListensAgain(t *testing.T) {
	leaksNothing(t)
	cmd, link := start(t, "relisten")
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	must(t, err)
	defer ln.Close()
	peer := func() int {
		c := dial(t, ln)
		defer c.Close()
		creds, err := PeerCredentials(c.(*net.UnixConn))
		must(t, err)
		return creds.PID
	}
	if pid := peer(); pid != os.Getpid() {
		t.Fatalf("before: pid %d, want %d", pid, os.Getpid())
	}
	fd, err := FD(ln.(*net.UnixListener))
	must(t, err)
	must(t, link.Send([]byte("x"), []int{fd}))
	_, _, err = link.Recv(make([]byte, 1))
	must(t, err)
	if pid := peer(); pid != cmd.Process.Pid {
		t.Fatalf("after: pid %d, want %d", pid, cmd.Process.Pid)
	}
	must(t, Relisten(fd))
	if pid := peer(); pid != os.Getpid() {
		t.Fatalf("taken back: pid %d, want %d", pid, os.Getpid())
	}
	if Relisten(link.fd(t)) == nil {
		t.Fatal("a connected socket listens")
	}
}

func (s *Socket) fd(t *testing.T) int {
	t.Helper()
	fd, err := FD(s)
	must(t, err)
	return fd
}

func relistenReceived(link *Socket) error {
	_, fds, err := link.Recv(make([]byte, 1))
	if err != nil {
		return err
	}
	if err := Relisten(fds[0]); err != nil {
		return err
	}
	if err := link.Send([]byte("x"), nil); err != nil {
		return err
	}
	_, _, err = link.Recv(make([]byte, 1))
	if err == io.EOF {
		return nil
	}
	return err
}

// deferAccept keeps a handshake under way until the client's first byte.
func deferAccept(_, _ string, c syscall.RawConn) error {
	var fault error
	err := c.Control(func(fd uintptr) {
		fault = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 30)
	})
	return errors.Join(err, fault)
}

func TestDeafenedListenerTakesNoNewConnectionAndLosesNoneBegun(t *testing.T) {
	leaksNothing(t)
	for name, control := range map[string]func(string, string, syscall.RawConn) error{"queued": nil, "in handshake": deferAccept} {
		ln := listenSinglePath(t, control)
		client := dial(t, ln)
		fd, err := FD(ln)
		must(t, err)
		deafenErr := Deafen(fd)
		given := 150 * time.Millisecond
		if deafenErr != nil {
			given = patience // it is to succeed
		}
		c, err := net.DialTimeout("tcp", ln.Addr().String(), given)
		if err == nil {
			_ = c.Close()
		}
		var timeout net.Error
		switch {
		case errors.Is(deafenErr, unix.EPERM) && errors.Is(deafenErr, errors.ErrUnsupported):
			if err != nil {
				t.Fatalf("%s: a listener that could not be deafened lost a connection: %v", name, err)
			}
			must(t, client.Close())
			must(t, ln.Close())
			continue
		case deafenErr != nil:
			t.Fatalf("%s: %v", name, deafenErr)
		case err == nil:
			t.Fatalf("%s: a new connection got through", name)
		case !errors.As(err, &timeout) || !timeout.Timeout():
			t.Fatalf("%s: a new connection was refused: %v", name, err)
		}

		_, err = client.Write([]byte("hello"))
		must(t, err)
		c, err = ln.Accept()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		p := make([]byte, 16)
		n, err := c.Read(p)
		must(t, err)
		_, err = c.Write(p[:n])
		must(t, err)
		must(t, c.Close())
		got, err := io.ReadAll(client)
		must(t, err)
		if string(got) != "hello" {
			t.Fatalf("%s: got %q", name, got)
		}
		must(t, client.Close())
		must(t, ln.Close())
	}
}

func TestDeafenedDatagramSocketKeepsItsQueueAndTakesNothingNew(t *testing.T) {
	leaksNothing(t)
	for network, address := range map[string]string{"udp": "127.0.0.1:0", "udp6": "[::1]:0", "unixgram": filepath.Join(t.TempDir(), "s")} {
		pc, err := net.ListenPacket(network, address)
		must(t, err)
		client, err := net.Dial(network, pc.LocalAddr().String())
		must(t, err)
		c := pc.(syscall.Conn)
		if Queued(c) {
			t.Errorf("%s: queued with nothing sent", network)
		}
		_, err = client.Write(nil) // an empty datagram is one
		must(t, err)
		if !Queued(c) {
			t.Errorf("%s: an empty datagram is not queued", network)
		}
		fd, err := FD(c)
		must(t, err)
		must(t, Deafen(fd))
		_, err = client.Write([]byte("late"))
		if told := errors.Is(err, unix.EPIPE); told != (network == "unixgram") {
			t.Errorf("%s: the sender is told %v", network, err)
		}
		must(t, pc.SetDeadline(time.Now().Add(patience)))
		if n, _, err := pc.ReadFrom(make([]byte, 10)); n != 0 || err != nil {
			t.Errorf("%s: read %d bytes, %v; want the empty datagram", network, n, err)
		}
		if Queued(c) {
			t.Errorf("%s: what came late is queued", network)
		}
		must(t, client.Close())
		must(t, pc.Close())
		if Queued(c) {
			t.Errorf("%s: queued where nothing is open", network)
		}
	}
}

func TestWhatCannotBeDeafenedSaysSo(t *testing.T) {
	leaksNothing(t)
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	must(t, err)
	defer ln.Close()
	fd, err := FD(ln.(*net.UnixListener))
	must(t, err)
	if err := Deafen(fd); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("unix listener: %v", err)
	}
	var config net.ListenConfig
	config.SetMultipathTCP(true)
	multipath, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	defer multipath.Close()
	fd, err = FD(multipath.(*net.TCPListener))
	must(t, err)
	protocol, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
	must(t, err)
	err = Deafen(fd)
	if protocol == unix.IPPROTO_MPTCP && !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Multipath TCP listener: %v", err)
	}
}
