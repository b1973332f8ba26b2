package handover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/handover-go/handover/internal/platform"
)

// passOn passes the socket of a generation on to another.
func passOn(t *testing.T, s, next *sockets) {
	t.Helper()
	offered := s.all()[0]
	fd, err := platform.FD(offered.raw)
	if err != nil {
		t.Fatal(err)
	}
	if fd, err = platform.Duplicate(fd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(next.close)
	next.inherit([]*inherited{{spec: offered.spec, fd: fd}})
}

// successorOf makes another generation of the service, which has adopted the socket.
func successorOf(t *testing.T, s *sockets) (*sockets, net.PacketConn) {
	t.Helper()
	offered := s.all()[0].spec
	next := newSockets(net.ListenConfig{}, slog.New(slog.DiscardHandler))
	passOn(t, s, next)
	pc, err := next.listenPacket(t.Context(), offered.Network, offered.Address)
	if err != nil {
		t.Fatal(err)
	}
	if taken, added := next.adopted(); len(taken) != 1 || len(added) != 0 {
		t.Fatalf("adopted %v, added %v", taken, added)
	}
	return next, pc
}

// TestSocketThatIsDroppedIsNotAdopted: the handover may be given up while the program asks for its sockets. Guard: sockets.take; without it a descriptor
// is used when it is closed already, and may be another by then.
func TestSocketThatIsDroppedIsNotAdopted(t *testing.T) {
	s, pc := listenPacket(t, "unixgram", filepath.Join(t.TempDir(), "socket"))
	for range 200 {
		next := newSockets(net.ListenConfig{}, slog.New(slog.DiscardHandler))
		passOn(t, s, next)
		dropped := make(chan struct{})
		go func() {
			next.dropUnadopted()
			close(dropped)
		}()
		_, err := next.listenPacket(t.Context(), "unixgram", pc.LocalAddr().String())
		if err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatal(err)
		}
		<-dropped
		next.close()
	}
}

// TestParkedSocketLeavesDatagramsToTheOtherGeneration, all of them, with a goroutine in its read.
func TestParkedSocketLeavesDatagramsToTheOtherGeneration(t *testing.T) {
	for network, address := range map[string]string{"udp": "127.0.0.1:0", "unixgram": filepath.Join(t.TempDir(), "socket")} {
		t.Run(network, func(t *testing.T) {
			s, pc := listenPacket(t, network, address)
			next, nextPC := successorOf(t, s)
			s.openGates()
			r := reading(t, pc)
			inside(t, pc)
			park(t, s)
			const n = 10
			for i := range n {
				send(t, pc.LocalAddr(), "%d", i)
			}
			next.openGates()
			for i := range n {
				wants(t, take(nextPC), fmt.Sprint(i))
			}
			park(t, next)
			send(t, pc.LocalAddr(), "again")
			s.openGates()
			wants(t, await(t, r), "again")
		})
	}
}

// TestTwoGenerationsNeverReadAtATime: while gates open and close under load, whoever is in the kernel's read is of the generation
// whose turn it is, and each datagram is read once.
func TestTwoGenerationsNeverReadAtATime(t *testing.T) {
	const turns, readers = 200, 3
	s, pc := listenPacket(t, "unixgram", filepath.Join(t.TempDir(), "socket")) // senders wait: nothing is dropped
	next, nextPC := successorOf(t, s)
	generations := [2]*sockets{s, next}
	var turn atomic.Int32
	var reads [2]atomic.Int32
	var seen sync.Map
	var all sync.WaitGroup
	for g, pc := range []net.PacketConn{pc, nextPC} {
		raw, err := pc.(syscall.Conn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		for range readers {
			all.Go(func() {
				var b [100]byte
				for {
					n := 0
					if err := raw.Read(func(fd uintptr) bool {
						if turn.Load() != int32(g) {
							t.Errorf("generation %d reads out of turn", g)
						}
						var err error
						n, _, err = unix.Recvfrom(int(fd), b[:], unix.MSG_DONTWAIT)
						return err != unix.EAGAIN
					}); err != nil {
						return
					}
					reads[g].Add(1)
					if _, again := seen.LoadOrStore(string(b[:n]), g); again {
						t.Errorf("datagram %s was read twice", b[:n])
					}
				}
			})
		}
	}
	client, err := net.Dial("unixgram", pc.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	sent := 0
	ctx, stop := context.WithCancel(t.Context())
	var sending sync.WaitGroup
	sending.Go(func() {
		for ; ctx.Err() == nil; sent++ {
			if _, err := fmt.Fprint(client, sent); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for i := range turns {
		g := i % 2
		before := reads[g].Load()
		turn.Store(int32(g))
		generations[g].openGates()
		for reads[g].Load() < before+10 && !t.Failed() {
			inside(t, [2]net.PacketConn{pc, nextPC}[g])
		}
		park(t, generations[g])
	}
	turn.Store(0)
	s.openGates()
	stop()
	sending.Wait()
	client.Close()
	if err := s.all()[0].empty(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.close()
	next.close()
	all.Wait()
	got := int(reads[0].Load() + reads[1].Load())
	t.Logf("%d datagrams in %d turns: %d and %d", sent, turns, reads[0].Load(), reads[1].Load())
	if got != sent {
		t.Errorf("%d of %d datagrams were read", got, sent)
	}
}

// TestSocketActivationBringsDatagramSockets in a process that has them at descriptor 3 and up.
func TestSocketActivationBringsDatagramSockets(t *testing.T) {
	if os.Getenv("LISTEN_FDS") != "" {
		_ = os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
		p, err := New(t.Context(), Config{})
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range strings.Fields(os.Getenv("ACTIVATED")) {
			network, address, _ := strings.Cut(at, "|")
			pc, err := p.ListenPacket(t.Context(), network, address)
			if err != nil {
				t.Fatal(err)
			}
			gateOf(pc).openGate()
			wants(t, take(pc), "activated")
		}
		for _, m := range p.sockets.all() {
			if m.from == nil || !m.spec.Shared || !m.spec.Packet {
				t.Errorf("%+v is not of socket activation", m.spec)
			}
		}
		return
	}
	udp, err := net.ListenPacket("udp", "127.0.0.2:0") // where nobody has a TCP port
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	gram, err := net.ListenPacket("unixgram", filepath.Join(t.TempDir(), "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer gram.Close()
	// Of another kind at the same address: it must not be taken for it.
	tcp, err := net.Listen("tcp", udp.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "LISTEN_FDS=3",
		"ACTIVATED=udp4|"+udp.LocalAddr().String()+" unixgram|"+gram.LocalAddr().String())
	for _, held := range []interface{ File() (*os.File, error) }{tcp.(*net.TCPListener), udp.(*net.UDPConn), gram.(*net.UnixConn)} {
		f, err := held.File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	send(t, udp.LocalAddr(), "activated")
	send(t, gram.LocalAddr(), "activated")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func TestPacketSocketIsAdoptedByItsBoundAddress(t *testing.T) {
	s, pc := listenPacket(t, "udp", "127.0.0.2:0") // where nobody has a TCP port
	next := newSockets(net.ListenConfig{}, slog.New(slog.DiscardHandler))
	passOn(t, s, next)
	address := pc.LocalAddr().String()
	if ln, err := next.listen(t.Context(), "tcp", address); err != nil {
		t.Fatal(err)
	} else if taken, _ := next.adopted(); len(taken) != 0 {
		t.Fatalf("%s took a datagram socket", ln.Addr())
	}
	if _, err := next.listenPacket(t.Context(), "udp4", address); err != nil {
		t.Fatal(err)
	}
	if taken, _ := next.adopted(); len(taken) != 1 {
		t.Error("the socket was not adopted")
	}
}

// TestOtherOptionsOfAPacketSocketAreReported, as those of a listener.
func TestOtherOptionsOfAPacketSocketAreReported(t *testing.T) {
	s, _ := listenPacket(t, "udp", "127.0.0.1:0")
	var log strings.Builder
	next := newSockets(net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		cerr := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 100_000) })
		if cerr != nil {
			return cerr
		}
		return err
	}}, slog.New(slog.NewTextHandler(&log, nil)))
	passOn(t, s, next)
	if _, err := next.listenPacket(t.Context(), "udp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "SO_RCVBUF is ") || strings.Count(log.String(), "keeps its socket option") != 1 {
		t.Errorf("the log says %q", log.String())
	}
}
