//go:build linux

package traffic

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
)

// sender sends numbered datagrams, and keeps the book of their answers.
type sender struct {
	t        *testing.T
	conn     net.Conn
	network  string
	address  string
	burst    int // datagrams each time
	fits     int // that few may wait for answers, so that the kernel drops none; 0: however many
	stop     context.CancelFunc
	sending  sync.WaitGroup
	ended    sync.WaitGroup
	finished chan struct{} // closed when all that can be answered is

	mu       sync.Mutex
	anybody  bool // may read: the socket that a datagram comes to can change
	sent     int
	answers  map[int]int // of each datagram
	byPID    map[int]int
	newest   int  // generation that has answered
	since    int  // the first datagram that was sent when it already had
	complete bool // sent is final
}

// newSender connects to a datagram socket of the service.
func newSender(t *testing.T, network, address string) *sender {
	t.Helper()
	dialer := net.Dialer{}
	if network == "unixgram" { // to be answered, the client needs an address
		dialer.LocalAddr = &net.UnixAddr{Net: network, Name: filepath.Join(t.TempDir(), "client")}
	}
	conn, err := dialer.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	if udp, ok := conn.(*net.UDPConn); ok {
		if err := udp.SetReadBuffer(packetBuffer); err != nil {
			t.Fatal(err)
		}
	}
	s := &sender{
		t: t, conn: conn, network: network, address: address, burst: burst, stop: func() {}, finished: make(chan struct{}),
		answers: map[int]int{}, byPID: map[int]int{},
	}
	s.ended.Go(s.receive)
	t.Cleanup(func() {
		s.stop()
		s.conn.Close()
		s.sending.Wait()
		s.ended.Wait()
	})
	return s
}

// pace is how many datagrams a sender sends, and how often.
const (
	burst = 20
	every = 2 * time.Millisecond
)

// begin sends until finish is called.
func (s *sender) begin() {
	ctx, stop := context.WithCancel(s.t.Context())
	s.stop = stop
	s.sending.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if s.fits == 0 || s.unanswered() < s.fits {
					s.send(s.burst)
				}
			case <-ctx.Done():
				return
			}
		}
	})
}

// send sends n datagrams. One that the kernel does not take is not sent: only UDP drops what it has taken.
func (s *sender) send(n int) {
	for range n {
		s.mu.Lock()
		number := s.sent
		s.sent++
		s.mu.Unlock()
		if _, err := s.conn.Write([]byte(strconv.Itoa(number))); err != nil {
			s.t.Errorf("send datagram %d: %v", number, err)
			return
		}
	}
}

func (s *sender) receive() {
	var b [1000]byte
	for {
		n, err := s.conn.Read(b[:])
		if err != nil {
			return
		}
		var pid, generation, number int
		if _, err := fmt.Sscan(string(b[:n]), &pid, &generation, &number); err != nil {
			s.t.Errorf("answer %q: %v", b[:n], err)
			continue
		}
		s.mu.Lock()
		s.answers[number]++
		s.byPID[pid]++
		switch {
		case generation > s.newest:
			s.newest, s.since = generation, s.sent
		case generation < s.newest && number >= s.since && !s.anybody:
			s.t.Errorf("%s: generation %d read datagram %d, when generation %d was reading", s.network, generation, number, s.newest)
		}
		s.checkLocked()
		s.mu.Unlock()
	}
}

func (s *sender) checkLocked() {
	if s.complete && len(s.answers) == s.sent {
		s.complete = false
		close(s.finished)
	}
}

// settle stops sending, and waits until each datagram is answered or lost: one more is sent, again if the kernel has dropped it, and answered
// behind them all.
func (s *sender) settle() {
	s.t.Helper()
	s.stop()
	s.sending.Wait()
	dropped := s.dropped()
	s.send(1)
	until(s.t, "the last datagram is not answered", func() bool {
		if now := s.dropped(); now > dropped {
			dropped = now
			s.send(1)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.answers[s.sent-1] > 0
	})
}

// dropped is how many datagrams the kernel has dropped, to the service and from it. What fits it does not drop.
func (s *sender) dropped() int {
	s.t.Helper()
	if s.network != "udp" || s.fits > 0 {
		return 0
	}
	return kernelDrops(s.t, s.address) + kernelDrops(s.t, s.conn.LocalAddr().String())
}

// finish stops sending, and waits for the answers. It returns how many datagrams have none that the kernel has not dropped.
// None has two.
func (s *sender) finish(patience time.Duration) (lost int) {
	s.t.Helper()
	s.stop()
	s.sending.Wait()
	s.mu.Lock()
	s.complete = true
	s.checkLocked()
	s.mu.Unlock()
	select {
	case <-s.finished:
	case <-time.After(patience):
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for number, n := range s.answers {
		if n != 1 {
			s.t.Errorf("datagram %d was answered %d times", number, n)
		}
	}
	dropped := s.dropped()
	lost = s.sent - len(s.answers) - dropped
	s.t.Logf("%s: %d datagrams, %d answered by %d processes, %d dropped by the kernel, %d lost",
		s.network, s.sent, len(s.answers), len(s.byPID), dropped, lost)
	return lost
}

// resumed says that it is no more the turn of the newest generation.
func (s *sender) resumed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.newest, s.since = math.MaxInt, math.MaxInt
}

func (s *sender) unanswered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent - len(s.answers)
}

// answeredBy waits until that process answers.
func (s *sender) answeredBy(pid int) {
	s.t.Helper()
	again := time.NewTicker(every)
	defer again.Stop()
	s.mu.Lock()
	before := s.byPID[pid]
	s.mu.Unlock()
	for deadline := time.Now().Add(patience); ; <-again.C {
		s.mu.Lock()
		now := s.byPID[pid]
		s.mu.Unlock()
		if now >= before+s.burst {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("process %d does not answer datagrams", pid)
		}
	}
}

// kernelDrops is how many datagrams the kernel has dropped for the UDP socket at an IPv4 address; 0 if there is none.
func kernelDrops(t *testing.T, address string) (drops int) {
	t.Helper()
	for _, words := range udpSockets(t, address) {
		n, _ := strconv.Atoi(words[len(words)-1])
		drops += n
	}
	return drops
}

// udpSockets are the rows of /proc/net/udp for an IPv4 address.
func udpSockets(t *testing.T, address string) (rows [][]string) {
	t.Helper()
	addr, err := net.ResolveUDPAddr("udp4", address)
	if err != nil {
		t.Fatal(err)
	}
	ip := addr.IP.To4()
	at := fmt.Sprintf("%02X%02X%02X%02X:%04X", ip[3], ip[2], ip[1], ip[0], addr.Port)
	f, err := os.Open("/proc/net/udp")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if words := strings.Fields(lines.Text()); len(words) > 12 && words[1] == at {
			rows = append(rows, words)
		}
	}
	return rows
}

// packetAddresses are one of each kind.
func packetAddresses(t *testing.T) map[string]string {
	t.Helper()
	return map[string]string{"udp": handovertest.FreeAddress(t), "unixgram": filepath.Join(t.TempDir(), "packets")}
}

// startPackets starts the service with datagram sockets, and a sender for the network of each.
func startPackets(t *testing.T, env ...string) (*service, map[string]*sender) {
	t.Helper()
	packets := "PACKETS="
	addresses := packetAddresses(t)
	for network, address := range addresses {
		packets += network + ":" + address + " "
	}
	s := start(t, append(env, packets)...)
	senders := map[string]*sender{}
	for network, address := range addresses {
		senders[network] = newSender(t, network, address)
	}
	return s, senders
}

// TestDatagramsOutliveTwentyUpgrades: each that the kernel has not dropped is read by the generation whose turn it is, and
// answered once.
func TestDatagramsOutliveTwentyUpgrades(t *testing.T) {
	t.Parallel()
	const upgrades = 20
	s, senders := startPackets(t)
	for _, c := range senders {
		c.begin()
		c.answeredBy(s.PID())
	}
	for range upgrades {
		pid := s.Next()
		for _, c := range senders {
			c.answeredBy(pid)
		}
	}
	for _, c := range senders {
		if lost := c.finish(patience); lost != 0 {
			t.Errorf("%s: %d datagrams lost", c.network, lost)
		}
		if len(c.byPID) != upgrades+1 {
			t.Errorf("%s: %d generations answered; want %d", c.network, len(c.byPID), upgrades+1)
		}
	}
	path := senders["unixgram"].address
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the path does not outlive generations: %v", err)
	}
	s.Stop()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the path outlives the service: %v", err)
	}
}

// TestAbortedHandoverLosesNoDatagram: a bad build.
func TestAbortedHandoverLosesNoDatagram(t *testing.T) {
	t.Parallel()
	s, senders := startPackets(t)
	pid := s.PID()
	for _, c := range senders {
		c.begin()
	}
	for _, flaw := range []string{"exit", "check"} {
		s.swapFlaw(flaw)
		aborted := s.WatchFor(`msg="handover aborted`)
		s.Signal(pid, sigUpgrade)
		s.Line(aborted, "the bad build is not refused")
	}
	for _, c := range senders {
		c.answeredBy(pid)
		if lost := c.finish(patience); lost != 0 || len(c.byPID) != 1 {
			t.Errorf("%s: %d datagrams lost, %d processes answered", c.network, lost, len(c.byPID))
		}
	}
}

// TestSuccessorKilledInProbationLosesTheDatagramInItsHand, and no other.
func TestSuccessorKilledInProbationLosesTheDatagramInItsHand(t *testing.T) {
	t.Parallel()
	s, senders := startPackets(t, "HANDOVER_PROBATION=1m")
	pid := s.PID()
	for _, c := range senders {
		c.begin()
	}
	successor := s.onProbation()
	for _, c := range senders {
		c.answeredBy(successor)
		c.resumed()
	}
	again := s.WatchFor(`msg="successor taken back`)
	s.Signal(successor, syscall.SIGKILL)
	s.Line(again, "the incumbent does not serve again")
	for _, c := range senders {
		c.answeredBy(pid)
		c.settle()
		if lost := c.finish(0); lost < 0 || lost > 1 {
			t.Errorf("%s: %d datagrams lost; the successor read one at a time", c.network, lost)
		}
	}
}

// TestDatagramInTheHandOfWhoLeavesIsAnswered, though nothing else holds its generation. Guard: sockets.answered; without it Run returns meanwhile.
func TestDatagramInTheHandOfWhoLeavesIsAnswered(t *testing.T) {
	t.Parallel()
	s, senders := startPackets(t, "PACKET_DELAY=900ms") // as long as it may take, beginning before the upgrade
	first, c := s.PID(), senders["udp"]
	c.send(1)
	until(t, "the datagram is not read", func() bool {
		return !slices.ContainsFunc(udpSockets(t, c.address), func(words []string) bool { return !strings.HasSuffix(words[4], ":00000000") })
	})
	s.Next()
	s.AwaitExit(first)
	until(t, "the datagram is not answered", func() bool { return c.unanswered() == 0 })
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byPID[first] != 1 {
		t.Errorf("answered by %v, want process %d", c.byPID, first)
	}
}

// TestDatagramsOfASocketThatIsGivenUpAreAnswered: the successor has none, and when the handover is final hundreds are queued.
// Then the address is free.
func TestDatagramsOfASocketThatIsGivenUpAreAnswered(t *testing.T) {
	t.Parallel()
	s, senders := startPackets(t, "PACKET_DELAY=2ms")
	pid := s.PID()
	s.swapFlaw("packetless")
	givenUp := s.WatchFor(`msg="listener closed`, "udp|")
	for _, c := range senders {
		n := 2000
		if c.network == "unixgram" {
			n = 8 // the kernel queues no more than 10
		}
		c.send(n)
	}
	final := s.WatchFor(`msg="handover final"`)
	s.Signal(pid, sigUpgrade)
	s.Line(final, "not final")
	s.Line(givenUp, "the socket is not given up")
	for _, c := range senders {
		if left := c.unanswered(); c.network == "udp" && left == 0 {
			t.Error("all datagrams were answered before the handover was final: nothing is shown")
		}
		if lost := c.finish(patience); lost != 0 || len(c.byPID) != 1 {
			t.Errorf("%s: %d datagrams lost, %d processes answered", c.network, lost, len(c.byPID))
		}
	}
	s.AwaitExit(pid)
	for _, c := range senders {
		pc, err := net.ListenPacket(c.network, c.address)
		if err != nil {
			t.Errorf("the address is not free: %v", err)
			continue
		}
		pc.Close()
	}
}
