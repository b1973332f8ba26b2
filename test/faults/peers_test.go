//go:build linux

package faults

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/journal"
)

// peers are clients of a UDP socket that counts the datagrams of each, see traffic.CountPeers.
type peers struct {
	t      *testing.T
	all    []*udpPeer
	talk   sync.WaitGroup
	over   atomic.Bool
	forget bool // what is known of them may be lost
}

type udpPeer struct {
	net.Conn
	sent, count int
}

// filling makes what is known of peers several frames, and so many that they do not enter the socket's buffer at once.
const filling = "PEERS_FILLING=3000x200"

const peersEach = 6

func newPeers(t *testing.T, address string) *peers {
	t.Helper()
	all := &peers{t: t}
	for range peersEach {
		c, err := net.Dial("udp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		all.all = append(all.all, &udpPeer{Conn: c})
	}
	return all
}

// say sends the next datagram, and returns the count that it is answered with.
func (p *udpPeer) say() (count int, err error) {
	p.SetDeadline(time.Now().Add(patience))
	p.sent++
	if _, err := p.Write([]byte(strconv.Itoa(p.sent))); err != nil {
		return 0, err
	}
	var b [1000]byte
	n, err := p.Read(b[:])
	if err != nil {
		return 0, err
	}
	var pid, generation, number int
	if _, err := fmt.Sscan(string(b[:n]), &pid, &generation, &count, &number); err != nil || number != p.sent {
		return 0, fmt.Errorf("answer %q to datagram %d: %w", b[:n], p.sent, err)
	}
	return count, nil
}

// goesOn has a peer send one datagram more, and judges the count.
func (all *peers) goesOn(p *udpPeer) bool {
	count, err := p.say()
	switch {
	case err == nil && count == p.count+1:
	case err == nil && all.forget && count == 1:
	default:
		all.t.Errorf("peer %s: count %d, %v; want %d", p.LocalAddr(), count, err, p.count+1)
		return false
	}
	p.count = count
	return true
}

// begin has all of them talk without end.
func (all *peers) begin() {
	for _, p := range all.all {
		all.talk.Go(func() {
			for !all.over.Load() && all.goesOn(p) {
			}
		})
	}
}

func (all *peers) end() {
	all.over.Store(true)
	all.talk.Wait()
	for _, p := range all.all {
		all.goesOn(p)
	}
}

// armedPeers is armed for a service with peers.
func armedPeers(t *testing.T, f fault, env ...string) (*run, *peers) {
	t.Helper()
	address := handovertest.FreeAddress(t)
	r := armed(t, f, handovertest.Clients{New: 2}, append(env, "PEERS=udp:"+address, filling)...)
	return r, newPeers(t, address)
}

// strikePeers runs one handover with one fault, under constant traffic. What is known of peers is lost only with the incumbent.
func strikePeers(t *testing.T, f fault) {
	r, all := armedPeers(t, f)
	all.forget = f.frame == "CARRY" && f.effect == "KILL" && f.direction == "send"
	all.begin()
	watch := r.watchStrike()
	r.upgrade()
	pid := r.struck(f, watch)
	t.Logf("%s: pid %d; %s", f, pid, r.settle())
	r.finish()
	all.end()
}

// strikePeersReturn strikes while it comes back from a build that gives up.
func strikePeersReturn(t *testing.T, f fault) {
	r, all := armedPeers(t, f, "HANDOVER_PROBATION=3s")
	say := func(n, first int) {
		t.Helper()
		for _, p := range all.all {
			for i := range n {
				if count, err := p.say(); err != nil || count != first+i {
					t.Fatalf("peer %s: count %d, %v; want %d", p.LocalAddr(), count, err, first+i)
				}
			}
		}
	}
	say(5, 1)
	r.Swap(build(t, "failing"))
	watch := r.watchStrike()
	successor := r.prove()
	say(3, 6)
	once(t, r.address, "/?id=fail", successor)
	pid := r.struck(f, watch)
	t.Logf("%s: pid %d; %s", f, pid, r.settle())
	if f.effect == "KILL" && f.direction == "send" {
		say(1, 6) // as at the commit
	} else {
		say(1, 9)
	}
	r.Swap(build(t, ""))
	r.finish()
}

// TestStruckWhilePeersArePassedOn: what is known of peers is lost only with a process that is killed and alone knows it, and neither is
// a datagram lost nor answered with a count that is not its own.
func TestStruckWhilePeersArePassedOn(t *testing.T) {
	t.Parallel()
	grid(t, []string{"CARRY"}, strikePeers, nil)
}

// TestIncumbentKilledOnceItHasPassedOnPeers, and before it can commit: its successor knows them.
func TestIncumbentKilledOnceItHasPassedOnPeers(t *testing.T) {
	t.Parallel()
	strikePeers(t, fault{"receive", "IMPORTED", "before", "KILL"})
}

// TestStruckWhilePeersComeBack is the same for a build that is taken back.
func TestStruckWhilePeersComeBack(t *testing.T) {
	t.Parallel()
	grid(t, []string{"RESUME..CARRY"}, strikePeersReturn, nil)
}

// TestSuccessorThatReadsNoPeersIsNotAwaited: it stands still in the freeze, as more is to come than the socket's buffer holds. The freeze
// ends when it must.
func TestSuccessorThatReadsNoPeersIsNotAwaited(t *testing.T) {
	t.Parallel()
	f := fault{direction: "receive", frame: "FREEZE", moment: "before", effect: "STOP"}
	r, all := armedPeers(t, f, "HANDOVER_FREEZE_TIMEOUT=1s")
	all.begin()
	watch := r.watchStrike()
	r.upgrade()
	began := time.Unix(0, int64(journal.Number(t, r.Line(watch, "the fault never struck"), "at")))
	settled := r.settle()
	took := journal.Written(t, settled).Sub(began) // by their own word: both may be read late
	t.Logf("%s after %s", settled, took)
	if most := 3 * time.Second; !strings.Contains(settled, "handover aborted") || took > most {
		t.Errorf("want it aborted within %s", most)
	}
	r.finish()
	all.end()
}
