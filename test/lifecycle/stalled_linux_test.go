package lifecycle

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/test/internal/client"
	"github.com/handover-go/handover/test/internal/journal"
)

// TestDrainingGenerationThatNeverRunsHoldsUpNobody has two that hold a request each, and are given no processor any more: no deadline
// of theirs expires, and after FINAL nobody kills them. The service is upgraded until MaxDraining is reached, and says who is in the
// way; it goes on when a person kills one. The other, given the processor again, ends as it would have.
func TestDrainingGenerationThatNeverRunsHoldsUpNobody(t *testing.T) {
	t.Parallel()
	r := named(t, "HANDOVER_MAX_DRAINING=2").drive()
	killed, killedClient := r.stall()
	for range 2 { // past the one that is stalled others come and go
		leaves := r.PID()
		gone := r.WatchFor(`msg="draining generation is gone"`, " pid="+itoa(leaves)+" ")
		r.Upgrade(1)
		r.Line(gone)
	}
	r.AssertServes(r.PID())
	stalled, client := r.stall()

	incumbent := r.PID()
	for range 2 {
		answer := r.WatchFor(refused)
		r.Signal(incumbent, syscall.SIGUSR2)
		wantRefusal(t, journal.Attribute(r.Line(answer), "error"), "too many generations are draining",
			"generation 1 (pid "+itoa(killed)+")", "generation 4 (pid "+itoa(stalled)+")")
		r.AssertServes(incumbent)
	}

	gone := r.WatchFor(journal.By(incumbent), `msg="draining generation is gone"`, " pid="+itoa(killed)+" ")
	r.Kill(killed)
	r.Line(gone)
	if b, err := killedClient.Peek(1); err == nil {
		t.Errorf("%q from a process that was killed", b)
	}
	r.Upgrade(1)

	client.StaysOpen(100 * time.Millisecond)
	r.Signal(stalled, syscall.SIGCONT)
	client.AnswerBy(stalled)
	r.AwaitExit(stalled)
	r.assertAlone(r.PID())
	r.upgrades()
	r.Finish()
}

// stall upgrades the service, and stops the generation before for ever when all that it holds is one request, whose client it returns.
func (r *run) stall() (pid int, held *client.Conn) {
	r.t.Helper()
	pid, held = r.PID(), r.dial()
	held.Ask("/slow?id=held&ms=10000")
	r.Eventually("the request in process "+itoa(pid), func() (any, bool) {
		all := r.connections(pid)
		return all, all[held.LocalAddr().String()]
	})
	r.Upgrade(1)
	r.Eventually("one connection of process "+itoa(pid), func() (any, bool) {
		all := r.connections(pid)
		return all, len(all) == 1
	})
	r.Signal(pid, syscall.SIGSTOP)
	r.Eventually("process "+itoa(pid)+" at rest", func() (any, bool) {
		for _, p := range r.Family() {
			if p.PID == pid {
				return p, p.State == "T"
			}
		}
		return nil, false
	})
	return pid, held
}

// connections are those that a process has accepted, or was given, by the addresses of their clients.
func (r *run) connections(pid int) map[string]bool {
	r.t.Helper()
	sockets := map[string]bool{}
	fds, err := filepath.Glob("/proc/" + itoa(pid) + "/fd/*")
	must(r.t, err)
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil { // else it was closed meanwhile
			sockets[target] = true
		}
	}
	table, err := os.ReadFile("/proc/net/tcp")
	must(r.t, err)
	service := netip.MustParseAddrPort(r.address)
	all := map[string]bool{}
	for line := range strings.Lines(string(table)) {
		words := strings.Fields(line) // proc_net(5): local and remote address, and the number of the socket
		if len(words) < 10 || !sockets["socket:["+words[9]+"]"] {
			continue
		}
		if remote := endpoint(words[2]); endpoint(words[1]) == service && remote.Port() != 0 {
			all[remote.String()] = true
		}
	}
	return all
}

// endpoint reads an address of /proc/net/tcp, which has the IPv4 address in the order of the machine.
func endpoint(text string) netip.AddrPort {
	host, port, _ := strings.Cut(text, ":")
	a, _ := hex.DecodeString(host)
	p, _ := hex.DecodeString(port)
	if len(a) != 4 || len(p) != 2 {
		return netip.AddrPort{}
	}
	var address [4]byte
	binary.BigEndian.PutUint32(address[:], binary.NativeEndian.Uint32(a))
	return netip.AddrPortFrom(netip.AddrFrom4(address), binary.BigEndian.Uint16(p))
}
