//go:build linux

package traffic

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/test/internal/count"
	"github.com/handover-go/handover/test/internal/due"
	"github.com/handover-go/handover/test/internal/journal"
)

// peersEach is how many peers each datagram socket has.
const peersEach = 12

// peers are the clients of datagram sockets that count the datagrams of each.
type peers struct {
	t     *testing.T
	all   []*peer
	talk  sync.WaitGroup
	enter sync.Once
	over  chan struct{}
}

// peer sends one datagram after the other, each numbered, and knows which count is its next.
type peer struct {
	net.Conn
	name string
	sent int

	mu    sync.Mutex
	count int
	byPID map[int]int
}

// startPeers starts the service with a datagram socket of each kind, and peers of both.
func startPeers(t *testing.T, env ...string) (*service, *peers) {
	t.Helper()
	addresses := packetAddresses(t)
	var at []string
	for network, address := range addresses {
		at = append(at, network+":"+address)
	}
	s := start(t, append(env, "PEERS="+strings.Join(at, " "))...)
	all := &peers{t: t, over: make(chan struct{})}
	for network, address := range addresses {
		for range peersEach {
			all.all = append(all.all, newPeer(t, network, address))
		}
	}
	t.Cleanup(all.end)
	return s, all
}

func newPeer(t *testing.T, network, address string) *peer {
	t.Helper()
	dialer := net.Dialer{}
	if network == "unixgram" { // to be answered, the client needs an address
		dialer.LocalAddr = &net.UnixAddr{Net: network, Name: filepath.Join(t.TempDir(), "peer")}
	}
	conn, err := dialer.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &peer{Conn: conn, name: network + " " + conn.LocalAddr().String(), byPID: map[int]int{}}
}

var errOther = errors.New("not its own")

// say sends the next datagram, and returns who has answered with which count.
func (p *peer) say(within time.Duration) (pid, count int, err error) {
	p.SetDeadline(time.Now().Add(within))
	p.sent++
	if _, err := p.Write([]byte(strconv.Itoa(p.sent))); err != nil {
		return 0, 0, err
	}
	var b [1000]byte
	n, err := p.Read(b[:])
	if err != nil {
		return 0, 0, err
	}
	var generation, number int
	if _, err := fmt.Sscan(string(b[:n]), &pid, &generation, &count, &number); err != nil || number != p.sent {
		return 0, 0, fmt.Errorf("answer %q to datagram %d: %w", b[:n], p.sent, errors.Join(err, errOther))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count = count
	p.byPID[pid]++
	return pid, count, nil
}

// begin has all of them talk without end. The count that each is told is that of its datagrams.
func (all *peers) begin() {
	for _, p := range all.all {
		all.talk.Go(func() {
			for {
				select {
				case <-all.over:
					return
				default:
				}
				if _, count, err := p.say(patience); err != nil || count != p.sent {
					all.t.Errorf("peer %s: count %d, %v; want %d", p.name, count, err, p.sent)
					return
				}
			}
		})
	}
}

func (all *peers) end() {
	all.enter.Do(func() { close(all.over) })
	all.talk.Wait()
}

// total is how many datagrams were answered.
func (all *peers) total() (n int) {
	for _, p := range all.all {
		n += p.sent
	}
	return n
}

// answeredBy waits until that process answers each of them.
func (all *peers) answeredBy(pid int) {
	all.t.Helper()
	again := time.NewTicker(every)
	defer again.Stop()
	before := make(map[*peer]int)
	for _, p := range all.all {
		p.mu.Lock()
		before[p] = p.byPID[pid]
		p.mu.Unlock()
	}
	for _, p := range all.all {
		for deadline := time.Now().Add(patience); ; <-again.C {
			p.mu.Lock()
			now := p.byPID[pid]
			p.mu.Unlock()
			if now > before[p] {
				break
			}
			if time.Now().After(deadline) || all.t.Failed() {
				all.t.Fatalf("process %d does not answer peer %s", pid, p.name)
			}
		}
	}
}

// each has every peer send that many datagrams, and be told counts from first on by that process.
func (all *peers) each(n, first, pid int) {
	all.t.Helper()
	for _, p := range all.all {
		for i := range n {
			if by, count, err := p.say(patience); err != nil || count != first+i || by != pid {
				all.t.Fatalf("peer %s: count %d of process %d, %v; want %d of process %d", p.name, count, by, err, first+i, pid)
			}
		}
	}
}

// onProbation begins an upgrade, and returns the successor when it serves.
func (s *service) onProbation() (pid int) {
	s.t.Helper()
	serving := s.WatchFor(`msg="serving on probation"`)
	s.Signal(s.PID(), sigUpgrade)
	return journal.Number(s.t, s.Line(serving, "no probation"), "pid")
}

// TestWhatIsKnownOfPeersOutlivesTenUpgrades: the count of no peer ever jumps or repeats, under constant traffic.
func TestWhatIsKnownOfPeersOutlivesTenUpgrades(t *testing.T) {
	t.Parallel()
	upgrades := count.Of(10, 100)
	s, all := startPeers(t)
	all.begin()
	all.answeredBy(s.PID())
	for range upgrades {
		all.answeredBy(s.Next())
	}
	all.end()
	t.Logf("%d peers, %d datagrams, each answered once with its count", len(all.all), all.total())
}

// TestManyPeersAreKnownInTheNextGeneration: several megabytes pass in the freeze.
func TestManyPeersAreKnownInTheNextGeneration(t *testing.T) {
	t.Parallel()
	s, all := startPeers(t, "PEERS_FILLING=20000x200", "HANDOVER_FREEZE_TIMEOUT=30s")
	ask := func() (known string) {
		t.Helper()
		p := newPeer(t, "udp", udpOf(all).RemoteAddr().String())
		p.SetDeadline(time.Now().Add(patience))
		fmt.Fprint(p, "?")
		var b [1000]byte
		n, err := p.Read(b[:])
		if err != nil {
			t.Fatal(err)
		}
		_, known, _ = strings.Cut(string(b[:n]), " ")
		_, known, _ = strings.Cut(known, " ")
		return known
	}
	want := ask()
	if !strings.HasPrefix(want, "20000 ") {
		t.Fatalf("the first generation knows %q", want)
	}
	all.begin()
	for range 3 {
		final := s.WatchFor(`msg="handover final"`)
		s.Upgrade(1)
		t.Logf("20,000 peers of 200 bytes: switch %s", journal.Attribute(s.Line(final, "not final"), "switch"))
		if known := ask(); known != want {
			t.Errorf("the next generation knows %q; want %q", known, want)
		}
	}
	all.end()
}

func udpOf(all *peers) *peer {
	for _, p := range all.all {
		if p.RemoteAddr().Network() == "udp" {
			return p
		}
	}
	return nil
}

// TestWhatABadBuildHasLearntOfPeersComesBack from one that lives, under constant traffic.
func TestWhatABadBuildHasLearntOfPeersComesBack(t *testing.T) {
	t.Parallel()
	s, all := startPeers(t, "HANDOVER_PROBATION=1m", "PEERS_FILLING=5000x200")
	pid := s.PID()
	all.begin()
	all.answeredBy(pid)
	s.swapFlaw("failing")
	all.answeredBy(s.onProbation())
	back := s.WatchFor(`msg="successor taken back`)
	c := s.dial()
	c.Ask("/?id=fail")
	s.Line(back, "the incumbent does not serve again")
	all.answeredBy(pid)
	all.end()
}

// TestWhatAKilledBuildHasLearntOfPeersIsLost, and nothing else: counts stand as at the commit.
func TestWhatAKilledBuildHasLearntOfPeersIsLost(t *testing.T) {
	t.Parallel()
	s, all := startPeers(t, "HANDOVER_PROBATION=1m")
	pid := s.PID()
	all.each(5, 1, pid)
	successor := s.onProbation()
	all.each(3, 6, successor)
	back := s.WatchFor(`msg="successor taken back`)
	s.Signal(successor, syscall.SIGKILL)
	s.Line(back, "the incumbent does not serve again")
	all.each(2, 6, pid)
	successor = s.onProbation()
	all.each(1, 8, successor)
}

// TestPeersOfAnUnknownKindBeginAnew in the build that does not know it, and are known again where that is taken back. So it is with a
// build that cannot export.
func TestPeersOfAnUnknownKindBeginAnew(t *testing.T) {
	t.Parallel()
	for flaw, first := range map[string]int{"peersstrange": 1, "peersmute": 6} {
		t.Run(flaw, func(t *testing.T) {
			t.Parallel()
			s, all := startPeers(t, "HANDOVER_PROBATION=1m")
			pid := s.PID()
			all.each(5, 1, pid)
			s.swapFlaw(flaw)
			all.each(3, first, s.onProbation())
			back := s.WatchFor(`msg="successor taken back`)
			c := s.dial()
			c.Ask("/?id=fail")
			s.Line(back, "the incumbent does not serve again")
			all.each(2, 6, pid)
		})
	}
}

// TestPeersThatCannotBePassedOnAbort: the incumbent goes on with what it knows, under constant traffic.
func TestPeersThatCannotBePassedOnAbort(t *testing.T) {
	t.Parallel()
	const freeze = 700 * time.Millisecond
	for name, c := range map[string]struct {
		flaw        string
		least, most time.Duration
	}{
		"import fails":      {"peersunread", 0, patience},
		"export fails":      {"peersmute", 0, patience},
		"export never ends": {"peersendless", freeze, freeze + 2*time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, all := startPeers(t, "FLAW="+c.flaw, "HANDOVER_FREEZE_TIMEOUT="+freeze.String())
			pid := s.PID()
			all.begin()
			all.answeredBy(pid)
			for range 2 {
				frozen, aborted := s.WatchFor("to=freezing"), s.WatchFor(`msg="handover aborted`)
				s.Signal(pid, sigUpgrade)
				began := journal.Written(t, s.Line(frozen, "no freeze")) // to the millisecond, as the other
				took := journal.Written(t, s.Line(aborted, "the handover is not aborted")).Sub(began)
				due.Between(t, "aborted", took+time.Millisecond, c.least, c.most)
				all.answeredBy(pid)
			}
			all.end()
		})
	}
}
