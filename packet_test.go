package handover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds every wait of these tests: none comes near it unless something is wrong.
const patience = 10 * time.Second

func listenPacket(t *testing.T, network, address string) (*sockets, net.PacketConn) {
	t.Helper()
	s := newSockets(net.ListenConfig{}, slog.New(slog.DiscardHandler))
	t.Cleanup(s.close)
	pc, err := s.listenPacket(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	return s, pc
}

func everyone(*socket) bool { return true }

func park(t *testing.T, s *sockets) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.park(ctx, everyone); err != nil {
		t.Fatal(err)
	}
}

func send(t *testing.T, to net.Addr, format string, args ...any) {
	t.Helper()
	c, err := net.Dial(to.Network(), to.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, format, args...); err != nil {
		t.Fatal(err)
	}
}

// received is what one read brought.
type received struct {
	text string
	err  error
}

func take(pc net.PacketConn) (r received) {
	var b [100]byte
	n, _, err := pc.ReadFrom(b[:])
	return received{string(b[:n]), err}
}

// reading reads in a goroutine of its own, and returns when that is in the kernel or at the gate.
func reading(t *testing.T, pc net.PacketConn) <-chan received {
	t.Helper()
	done := make(chan received, 1)
	go func() { done <- take(pc) }()
	return done
}

// inside waits until a goroutine is in the kernel's read.
func inside(t *testing.T, pc net.PacketConn) {
	t.Helper()
	insideAre(t, pc, 1)
}

// insideAre waits until so many goroutines are.
func insideAre(t *testing.T, pc net.PacketConn, n int) {
	t.Helper()
	g := gateOf(pc)
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(patience); int(g.inside.Load()) < n; <-again.C {
		if time.Now().After(deadline) {
			t.Fatal("nobody reads")
		}
	}
}

func gateOf(pc net.PacketConn) *gate {
	switch pc := pc.(type) {
	case *udpPacket:
		return &pc.gate
	default:
		return &pc.(*unixPacket).gate
	}
}

func await(t *testing.T, r <-chan received) received {
	t.Helper()
	select {
	case r := <-r:
		return r
	case <-time.After(patience):
		t.Fatal("the read does not end")
		return received{}
	}
}

func wants(t *testing.T, got received, text string) {
	t.Helper()
	if got.err != nil || got.text != text {
		t.Fatalf("read %q, %v; want %q", got.text, got.err, text)
	}
}

func fails(t *testing.T, got received, err error) {
	t.Helper()
	if !errors.Is(got.err, err) {
		t.Fatalf("read %q, %v; want %v", got.text, got.err, err)
	}
}

func TestDeadlineOfTheProgramHoldsAcrossParking(t *testing.T) {
	s, pc := listenPacket(t, "udp", "127.0.0.1:0")
	s.openGates()

	t.Run("one that is far off outlives the kick", func(t *testing.T) {
		_ = pc.SetReadDeadline(time.Now().Add(time.Hour))
		r := reading(t, pc)
		inside(t, pc)
		park(t, s)
		send(t, pc.LocalAddr(), "parked")
		s.openGates()
		wants(t, await(t, r), "parked")
	})
	t.Run("one that is over ends a read at the gate", func(t *testing.T) {
		_ = pc.SetReadDeadline(time.Time{})
		r := reading(t, pc)
		inside(t, pc)
		park(t, s)
		_ = pc.SetDeadline(time.Now().Add(10 * time.Millisecond))
		fails(t, await(t, r), os.ErrDeadlineExceeded)
		fails(t, take(pc), os.ErrDeadlineExceeded)
	})
	t.Run("it is in force again with the gate open, and takes nothing", func(t *testing.T) {
		send(t, pc.LocalAddr(), "kept")
		s.openGates()
		fails(t, take(pc), os.ErrDeadlineExceeded)
		_ = pc.SetReadDeadline(time.Time{})
		wants(t, take(pc), "kept")
	})
	t.Run("one that is over while nobody was parked ends a read in the kernel", func(t *testing.T) {
		_ = pc.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		fails(t, await(t, reading(t, pc)), os.ErrDeadlineExceeded)
	})
}

// TestDeadlineThatIsSetWhileParkingHoldsNobodyInTheKernel: it must not take the place of the one that kicks.
func TestDeadlineThatIsSetWhileParkingHoldsNobodyInTheKernel(t *testing.T) {
	s, pc := listenPacket(t, "udp", "127.0.0.1:0")
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		for ctx.Err() == nil {
			_ = pc.SetReadDeadline(time.Now().Add(time.Hour))
		}
	})
	s.openGates()
	r := reading(t, pc)
	for range 200 {
		inside(t, pc)
		park(t, s)
		s.openGates()
	}
	stop()
	all.Wait()
	send(t, pc.LocalAddr(), "at last")
	wants(t, await(t, r), "at last")
}

func TestClosedPacketSocketEndsReads(t *testing.T) {
	for _, parked := range []bool{false, true} {
		s, pc := listenPacket(t, "udp", "127.0.0.1:0")
		s.openGates()
		r := reading(t, pc)
		inside(t, pc)
		if parked {
			park(t, s)
		}
		if err := pc.Close(); err != nil {
			t.Fatal(err)
		}
		fails(t, await(t, r), net.ErrClosed)
		if _, err := pc.WriteTo([]byte("more"), pc.LocalAddr()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a write after Close: %v", err)
		}
		if len(s.all()) != 0 {
			t.Error("a closed socket is one of the service's")
		}
	}
}

// TestGenerationThatLeavesWritesStill and holds the socket until it has gone.
func TestGenerationThatLeavesWritesStill(t *testing.T) {
	s, pc := listenPacket(t, "udp", "127.0.0.1:0")
	_, client := listenPacket(t, "udp", "127.0.0.1:0")
	gateOf(client).openGate()
	park(t, s)
	s.handedOver.Store(true)
	for _, end := range []func() error{func() error { gateOf(pc).release(); return nil }, pc.Close} {
		if err := end(); err != nil {
			t.Fatal(err)
		}
		fails(t, take(pc), net.ErrClosed)
		if _, err := pc.WriteTo([]byte("answer"), client.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		wants(t, take(client), "answer")
	}
	if other, err := net.ListenPacket("udp", pc.LocalAddr().String()); err == nil {
		other.Close()
		t.Error("the socket is not held")
	}
	s.close()
	other, err := net.ListenPacket("udp", pc.LocalAddr().String())
	if err != nil {
		t.Fatalf("the socket is held by one that has gone: %v", err)
	}
	other.Close()
}

// datagrams are the methods that a program with many of them wants.
type datagrams interface {
	net.PacketConn
	ReadFromUDPAddrPort(b []byte) (n int, from netip.AddrPort, err error)
	ReadMsgUDPAddrPort(b, oob []byte) (n, oobn, flags int, from netip.AddrPort, err error)
	WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error)
	WriteMsgUDPAddrPort(b, oob []byte, to netip.AddrPort) (n, oobn int, err error)
}

func TestDatagramsAreReadWithoutAllocations(t *testing.T) {
	s, pc := listenPacket(t, "udp4", "127.0.0.1:0")
	s.openGates()
	conn := pc.(datagrams)
	self := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	b, oob := make([]byte, 100), make([]byte, 100)
	for name, once := range map[string]func() error{
		"AddrPort": func() error {
			if _, err := conn.WriteToUDPAddrPort(b, self); err != nil {
				return err
			}
			_, _, err := conn.ReadFromUDPAddrPort(b)
			return err
		},
		"MsgAddrPort": func() error {
			if _, _, err := conn.WriteMsgUDPAddrPort(b, nil, self); err != nil {
				return err
			}
			_, _, _, _, err := conn.ReadMsgUDPAddrPort(b, oob)
			return err
		},
	} {
		_ = conn.SetDeadline(time.Now().Add(patience))
		if n := testing.AllocsPerRun(1000, func() {
			if err := once(); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations a datagram", name, n)
		}
	}
}

// TestPacketSocketHasTheMethodsOfPackageNet, but for those that this one knows and leaves out: a new one must either take
// nothing from the queue or stand behind the gate.
func TestPacketSocketHasTheMethodsOfPackageNet(t *testing.T) {
	for _, pair := range []struct {
		own, raw reflect.Type
		left     string
	}{
		{reflect.TypeFor[*udpPacket](), reflect.TypeFor[*net.UDPConn](), "File"},
		{reflect.TypeFor[*unixPacket](), reflect.TypeFor[*net.UnixConn](), "CloseRead CloseWrite File"},
	} {
		var left []string
		for m := range pair.raw.Methods() {
			if _, ok := pair.own.MethodByName(m.Name); !ok {
				left = append(left, m.Name)
			}
		}
		if got := strings.Join(left, " "); got != pair.left {
			t.Errorf("%s leaves out %q of %s; want %q", pair.own, got, pair.raw, pair.left)
		}
	}
}

func TestPacketSocketThatIsGivenUpIsReadToItsEnd(t *testing.T) {
	for network, address := range map[string]string{"udp": "127.0.0.1:0", "unixgram": filepath.Join(t.TempDir(), "socket")} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			s, pc := listenPacket(t, network, address)
			s.openGates()
			const n = 10 // as many as the kernel queues at a unixgram socket
			for i := range n {
				send(t, pc.LocalAddr(), "%d", i)
			}
			emptied := make(chan error, 1)
			go func() { emptied <- s.all()[0].empty(t.Context()) }()
			select {
			case err := <-emptied:
				t.Fatalf("given up with all queued: %v", err)
			case <-time.After(2 * emptyAfter):
			}
			for i := range n {
				wants(t, take(pc), fmt.Sprint(i))
			}
			fails(t, await(t, reading(t, pc)), net.ErrClosed)
			if err := <-emptied; err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(address); !os.IsNotExist(err) {
				t.Errorf("the path outlives the service: %v", err)
			}
			other, err := net.ListenPacket(network, pc.LocalAddr().String())
			if err != nil {
				t.Fatalf("the address is not free: %v", err)
			}
			other.Close()
		})
	}
}

// TestPacketSocketThatIsGivenUpWaitsForWhoHasADatagram: another who reads is no sign that it was answered. Guard: packet.takeQueued, "p.away".
func TestPacketSocketThatIsGivenUpWaitsForWhoHasADatagram(t *testing.T) {
	t.Parallel()
	s, pc := listenPacket(t, "udp", "127.0.0.1:0")
	s.openGates()
	came, answered, ended := make(chan struct{}), make(chan struct{}), make(chan received, 2)
	for n := range 2 {
		go func() {
			r := take(pc)
			if r.err == nil {
				close(came)
				<-answered
				r = take(pc)
			}
			ended <- r
		}()
		insideAre(t, pc, n+1)
	}
	send(t, pc.LocalAddr(), "datagram")
	<-came
	emptied := make(chan error, 1)
	go func() { emptied <- s.all()[0].empty(t.Context()) }()
	select {
	case err := <-emptied:
		t.Fatalf("given up with a datagram in hand: %v", err)
	case <-time.After(4 * emptyAfter):
	}
	close(answered)
	if err := <-emptied; err != nil {
		t.Fatal(err)
	}
	for range 2 {
		fails(t, await(t, ended), net.ErrClosed)
	}
}

func TestPacketSocketThatNobodyReadsIsGivenUp(t *testing.T) {
	t.Parallel()
	s, pc := listenPacket(t, "udp", "127.0.0.1:0")
	s.openGates()
	send(t, pc.LocalAddr(), "unread")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.all()[0].empty(ctx); err != nil {
		t.Fatal(err)
	}
	fails(t, take(pc), net.ErrClosed)
}

func TestOnlyDatagramNetworksAreListenedOnForPackets(t *testing.T) {
	s := newSockets(net.ListenConfig{}, slog.New(slog.DiscardHandler))
	for _, network := range []string{"tcp", "unix", "ip:icmp", "udp5", ""} {
		if _, err := s.listenPacket(t.Context(), network, "127.0.0.1:0"); err == nil {
			t.Errorf("%q is listened on", network)
		}
	}
	if len(s.all()) != 0 {
		t.Error("a socket that failed is one of the service's")
	}
}
