package platform

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestAnswersOfASocketThatLeftItsGroupReachItsClients where it is bound to no one address: they leave from the one that the client
// was told.
func TestAnswersOfASocketThatLeftItsGroupReachItsClients(t *testing.T) {
	for _, of := range []struct{ network, bind, client string }{
		{"udp4", ":0", "127.0.0.1"}, {"udp6", "[::]:0", "::1"}, {"udp", ":0", "127.0.0.1"},
	} {
		server := group(t, 1, of.network, of.bind)[0]
		_, port, err := net.SplitHostPort(server.LocalAddr().String())
		must(t, err)
		client, err := net.Dial("udp", net.JoinHostPort(of.client, port))
		must(t, err)
		defer client.Close()
		must(t, client.SetDeadline(time.Now().Add(patience)))
		if _, queued := NextSender(server); queued {
			t.Errorf("%s %s: there is a sender and nobody has sent", of.network, of.bind)
		}
		_, err = client.Write([]byte("question"))
		must(t, err)
		from, queued := NextSender(server)
		if !queued || from.Unmap() != netip.MustParseAddr(of.client) {
			t.Errorf("%s %s: the sender is %s", of.network, of.bind, from)
		}
		fd, err := FD(server)
		must(t, err)
		must(t, LeaveGroup(fd, from))
		p := make([]byte, 10)
		n, peer, err := server.ReadFromUDPAddrPort(p)
		must(t, err)
		_, err = server.WriteToUDPAddrPort(p[:n], peer)
		must(t, err)
		if n, err = client.Read(p); err != nil || string(p[:n]) != "question" {
			t.Errorf("%s %s: answer %q, %v", of.network, of.bind, p[:n], err)
		}
	}
}

// group makes n sockets that share an address.
func group(t *testing.T, n int, network, address string) (all []*net.UDPConn) {
	t.Helper()
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		cerr := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
		return errors.Join(cerr, err)
	}}
	for range n {
		pc, err := config.ListenPacket(context.Background(), network, address)
		must(t, err)
		t.Cleanup(func() { _ = pc.Close() })
		must(t, pc.SetDeadline(time.Now().Add(patience)))
		all, address = append(all, pc.(*net.UDPConn)), pc.LocalAddr().String()
	}
	return all
}

func TestSocketThatLeavesItsGroupKeepsItsQueueAndGetsNothingMore(t *testing.T) {
	const clients = 64 // one in four thousand million runs has none for the first socket
	for _, bind := range []struct{ network, to, at string }{
		{"udp4", "127.0.0.1", "127.0.0.1:0"}, {"udp4", "127.0.0.1", ":0"},
		{"udp6", "::1", "[::1]:0"}, {"udp6", "::1", "[::]:0"}, {"udp", "127.0.0.1", ":0"},
	} {
		sockets := group(t, 2, bind.network, bind.at)
		_, port, err := net.SplitHostPort(sockets[0].LocalAddr().String())
		must(t, err)
		all := make([]net.Conn, clients)
		for i := range all {
			all[i], err = net.Dial("udp", net.JoinHostPort(bind.to, port))
			must(t, err)
			defer all[i].Close()
		}
		send := func() {
			for _, c := range all {
				_, err := c.Write([]byte("datagram"))
				must(t, err)
			}
		}
		receive := func(c *net.UDPConn) (n int) {
			for Queued(c) {
				_, _, err := c.ReadFrom(make([]byte, 10))
				must(t, err)
				n++
			}
			return n
		}
		send()
		fd, err := FD(sockets[0])
		must(t, err)
		must(t, LeaveGroup(fd, netip.Addr{}))
		send()
		left, stayed := receive(sockets[0]), receive(sockets[1])
		if left == 0 || left >= clients || left+stayed != 2*clients {
			t.Errorf("%s %s: the one that left has read %d, the other %d, of %d", bind.network, bind.at, left, stayed, 2*clients)
		}
		send()
		if left, stayed := receive(sockets[0]), receive(sockets[1]); left != 0 || stayed != clients {
			t.Errorf("%s %s: afterwards the one that left has read %d, the other %d, of %d", bind.network, bind.at, left, stayed, clients)
		}
	}
}

func TestGroupIsToldFromOtherSockets(t *testing.T) {
	leaksNothing(t)
	ln := listen(t, "tcp", "127.0.0.1:0")
	single, err := FD(ln)
	must(t, err)
	sockets := group(t, 1, "udp", "127.0.0.1:0")
	first, err := FD(sockets[0])
	must(t, err)
	if Grouped(single) || !Grouped(first) || Grouped(-1) {
		t.Errorf("grouped: a single one %t, one of a group %t, none %t", Grouped(single), Grouped(first), Grouped(-1))
	}
	gram, err := net.ListenPacket("unixgram", filepath.Join(t.TempDir(), "s"))
	must(t, err)
	defer gram.Close()
	other, err := FD(gram.(*net.UnixConn))
	must(t, err)
	for _, fd := range []int{single, other} {
		if err := LeaveGroup(fd, netip.Addr{}); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("one that is no UDP socket: %v", err)
		}
	}
	must(t, ln.Close())
}
