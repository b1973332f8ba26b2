//go:build linux

package faults

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/certificate"
	"github.com/handover-go/handover/test/internal/client"
	"github.com/handover-go/handover/test/internal/journal"
)

// secured is a service whose connections over TLS live on. Its load speaks TLS alone.
type secured struct {
	*run
	secure string      // address
	trusts *tls.Config // of a client
	sealed string      // the ledger of every record that a process has sealed
}

// crowdOverTLS keep their connections.
var crowdOverTLS = handovertest.Clients{KeepAlive: 4, Slow: 1, Upload: 1, Pipelined: 1, Dribble: 1, Idle: 1}

// secure starts the service under load. When it has ended, no record must have been sealed twice.
func secure(t *testing.T, env ...string) *secured {
	t.Helper()
	s := &secured{secure: handovertest.FreeAddress(t), sealed: filepath.Join(t.TempDir(), "sealed")}
	pair := certificate.New(t, 1)
	certFile, keyFile := pair.Put(t, t.TempDir())
	s.trusts = &tls.Config{RootCAs: certificate.Pool(pair)}
	t.Cleanup(func() { sealedOnce(t, s.sealed) }) // behind that of the service
	plain := handovertest.FreeAddress(t)
	s.run = serve(t, plain, append([]string{
		"ADDR=" + plain + ",tls:" + s.secure, "TLS_CERT=" + certFile, "TLS_KEY=" + keyFile, "LIVETLS=1", "HANDOVER_SEALED=" + s.sealed,
		"HANDOVER_DRAIN_TIMEOUT=" + drainTimeout.String(),
	}, env...)...)
	load := s.Load()
	load.Address, load.TLS, load.Clients, load.Timeout = s.secure, s.trusts, crowdOverTLS, patience
	s.drive(load)
	return s
}

// sealedOnce reads a ledger: no secret and number are in it twice. It returns how many secrets more than one process has sealed with.
func sealedOnce(t *testing.T, ledger string) (moved int) {
	t.Helper()
	content, err := os.ReadFile(ledger)
	must(t, err)
	by, sealers, twice := map[string]string{}, map[string][]string{}, 0
	for line := range strings.Lines(string(content)) {
		words := strings.Fields(line)
		if len(words) != 3 {
			t.Fatalf("line %q of the ledger: not a secret, a number and a process", line)
		}
		secret, record, pid := words[0], words[0]+" "+words[1], words[2]
		if before, sealed := by[record]; sealed {
			if twice++; twice == 1 {
				t.Errorf("record %s is sealed by process %s and by process %s", record, before, pid)
			}
		}
		by[record] = pid
		if !slices.Contains(sealers[secret], pid) {
			sealers[secret] = append(sealers[secret], pid)
		}
	}
	for _, pids := range sealers {
		if len(pids) > 1 {
			moved++
		}
	}
	t.Logf("%d records sealed with %d secrets, of which %d have moved", len(by), len(sealers), moved)
	if len(by) == 0 || twice > 0 {
		t.Errorf("%d records are sealed twice, of %d", twice, len(by))
	}
	return moved
}

// dial opens connections over TLS, each of which has an answer of process pid unless that is 0.
func (s *secured) dial(n, pid int) (all []*client.Conn) {
	s.t.Helper()
	for range n {
		c := client.DialTLS(s.t, s.secure, s.trusts, patience)
		if pid != 0 {
			c.IsOf(pid)
		}
		all = append(all, c)
	}
	return all
}

// finish is that of run; and nobody waited for an answer in vain, whoever was killed.
func (s *secured) finish() {
	s.t.Helper()
	for _, l := range s.run.finish().Losses {
		if strings.Contains(l.Reason, "timeout") {
			s.t.Errorf("a client stalls: %s", l)
		}
	}
}

// askedAgain asks on each connection once more: it is answered, or its other side has ended it, which no more than so many may have.
func (s *secured) askedAgain(all []*client.Conn, most int) {
	s.t.Helper()
	ends := 0
	for _, c := range all {
		answer, ended := c.AskOrEnd("/?id=again")
		switch {
		case ended:
			ends++
		case !strings.HasPrefix(answer, "again "):
			s.t.Errorf("answer %q to another request", answer)
		}
	}
	if ends > most {
		s.t.Errorf("%d of %d connections have ended; want %d at most", ends, len(all), most)
	}
}

// signals are the ways to strike a process.
var signals = []string{"KILL", "STOP", "HALT"}

// TestStruckWhileTLSConnectionsFollow strikes either side at every step of a transfer: no record is sealed twice, no client stalls, and what is
// lost is what a killed process held.
func TestStruckWhileTLSConnectionsFollow(t *testing.T) {
	t.Parallel()
	all := gridOf([]string{"CONN", "CONN_ACK"}, signals, killsTheService)
	sample(t, (len(all)+4)/5, all, func(t *testing.T, f fault) {
		s := secure(t, arm(t, f))
		watch := s.watchStrike()
		s.upgrade()
		pid := s.struck(f, watch)
		t.Logf("%s: pid %d; %s", f, pid, s.settle())
		s.finish()
	})
}

// TestStruckWhileTLSConnectionsComeBack does so on the way back from a build that gives up, for those that it has accepted, too.
func TestStruckWhileTLSConnectionsComeBack(t *testing.T) {
	t.Parallel()
	all := gridOf([]string{"RETURN", "RESUME", "RETURNED", "RESUMED", "CONN", "CONN_ACK"}, signals, leavesNobody)
	sample(t, (len(all)+11)/12, all, func(t *testing.T, f fault) {
		failing := build(t, "failing") // ahead of all that has a deadline
		s := secure(t, arm(t, f), "HANDOVER_PROBATION=3s")
		s.Swap(failing)
		successor := s.prove()
		watch := s.watchStrike()
		accepted := s.dial(3, successor)
		once(t, s.address, "/?id=fail", successor)
		pid := s.struck(f, watch)
		t.Logf("%s: pid %d; %s", f, pid, s.settle())
		s.Swap(build(t, ""))
		most := 0
		if f.kills() {
			most = len(accepted)
		}
		s.askedAgain(accepted, most)
		s.finish()
	})
}

// TestKilledBeforeItAcknowledgesTLSConnectionsGoOnWithTheSender kills the successor after FINAL: that is a crash of the service, but what it had
// not accepted goes on, with the keys that nobody else has used; and what it had ends.
func TestKilledBeforeItAcknowledgesTLSConnectionsGoOnWithTheSender(t *testing.T) {
	t.Parallel()
	all := gridOf([]string{"CONN", "CONN_ACK"}, []string{"KILL", "HALT"}, func(f fault) bool { return !killsTheService(f) })
	sample(t, (len(all)+4)/5, all, func(t *testing.T, f fault) {
		s := secure(t, arm(t, f))
		s.Driver.Stop()
		idle := s.dial(6, s.PID())
		watch := s.watchStrike()
		s.upgrade()
		s.struck(f, watch)
		most := 0
		if f.moment == "after" { // the verdict may have been read, or not
			most = len(idle)
		}
		s.askedAgain(idle, most)
	})
}

// TestTLSConnectionsWhoseVerdictIsGarbledAreClosed: their receiver has them and seals with their keys, and its sender has not heard of it; killed
// then, it leaves them to nobody. Guards: follow.lost, "Unheard"; follow.verdicts, "Unheard"; peer, "Skipped"; without them the sender goes on with what it had let go, and seals records that
// were sealed.
func TestTLSConnectionsWhoseVerdictIsGarbledAreClosed(t *testing.T) {
	t.Parallel()
	for _, part := range []string{"magic", "kind", "length", "body", "number"} {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			s := secure(t, arm(t, fault{"send", "CONN_ACK", part, "CORRUPT"}), "HANDOVER_DRAIN_TIMEOUT=1m")
			s.Driver.Stop()
			idle := s.dial(1, s.PID())[0]
			watch, closed := s.watchStrike(), s.WatchFor("connections are closed: what their receiver said before it died was not understood")
			s.upgrade()
			successor := s.victim(watch)
			for range 3 {
				idle.Ask("/?id=second")
				idle.AnswerBy(successor)
			}
			s.Kill(successor)
			if answer, ended := idle.AskOrEnd("/?id=third"); !ended {
				t.Fatalf("answer %q by who cannot know how far the one before has come", answer)
			}
			if n := journal.Number(t, s.Line(closed, "nothing is closed"), "connections"); n != 1 {
				t.Errorf("%d connections are closed, want 1", n)
			}
		})
	}
}

// TestTLSConnectionsInDoubtAtTheDrainDeadlineAreCounted: their receiver lives, and has said nothing that could be understood. Their sender never goes on
// with them; it closes its end of them and ends. The receiver, which it does not stop, goes on with what it was sent.
func TestTLSConnectionsInDoubtAtTheDrainDeadlineAreCounted(t *testing.T) {
	t.Parallel()
	for _, f := range []fault{{"receive", "CONN", "before", "STOP"}, {"send", "CONN_ACK", "magic", "CORRUPT"}} {
		t.Run(strings.ReplaceAll(f.String(), " ", "_"), func(t *testing.T) {
			t.Parallel()
			s := secure(t, arm(t, f), "HANDOVER_DRAIN_TIMEOUT=2s")
			s.Driver.Stop()
			incumbent := s.PID()
			idle := s.dial(6, incumbent)
			watch, closed := s.watchStrike(), s.WatchFor(`msg="drain deadline: connections closed"`)
			s.upgrade()
			successor := s.victim(watch)
			if n := journal.Number(t, s.Line(closed, "nothing is closed"), "following"); n == 0 {
				t.Error("nothing is counted")
			}
			s.AwaitExit(incumbent)
			if f.effect == "STOP" {
				s.Signal(successor, syscall.SIGCONT)
			}
			s.askedAgain(idle, len(idle)-1) // one at least was in the first frame
		})
	}
}

// TestTLSConnectionsOfABuildThatIsTakenBackGoOn, those that it was not given and those that it accepted, unless it died with them.
func TestTLSConnectionsOfABuildThatIsTakenBackGoOn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, flaw string
		provoke    func(s *secured, successor int)
		silent     bool // its connections have asked nothing yet
		dies       bool
	}{
		{name: "gives up", flaw: "failing", provoke: func(s *secured, successor int) { once(s.t, s.address, "/?id=fail", successor) }},
		{name: "fails its check", flaw: "deaf", provoke: func(s *secured, _ int) { hang(s.t, s.address) }, silent: true},
		{name: "crashes", flaw: "crash", provoke: func(s *secured, _ int) { crash(s.t, s.address) }, dies: true},
		{name: "hangs", provoke: func(s *secured, successor int) { s.Signal(successor, syscall.SIGSTOP) }, dies: true},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			flawed := build(t, c.flaw) // ahead of all that has a deadline
			s := secure(t, "HANDOVER_PROBATION=5s")
			incumbent := s.PID()
			before := s.dial(3, incumbent)
			s.Swap(flawed)
			successor := s.prove()
			answers := successor
			if c.silent {
				answers = 0
			}
			accepted := s.dial(3, answers)
			c.provoke(s, successor)
			line := s.settle()
			if !strings.Contains(line, "successor taken back") {
				t.Fatalf("%s\n%s", line, s.Output(100))
			}
			s.Swap(build(t, ""))
			s.askedAgain(before, 0)
			most := 0
			if c.dies {
				most = len(accepted)
			}
			s.askedAgain(accepted, most)
			s.finish()
		})
	}
}

// hang asks a build that from then on answers nobody, its check neither, and does not wait for it.
func hang(t *testing.T, address string) {
	t.Helper()
	c := client.Dial(t, address, patience)
	c.Ask("/?id=never")
	must(t, c.Close())
}

// crash asks until a build that ends after some requests has.
func crash(t *testing.T, address string) {
	t.Helper()
	for range 20 {
		c, err := net.Dial("tcp", address)
		must(t, err)
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: service\r\nConnection: close\r\n\r\n")
		t.Cleanup(func() { c.Close() })
	}
}

// TestNoRecordIsSealedTwice while connections go on, and come back from a build that gives up. Guard: "c.gone(elsewhere)" in follow.verdicts; where
// what was accepted goes on here as well, both processes seal. Every other test over TLS here looks for it, too.
func TestNoRecordIsSealedTwice(t *testing.T) {
	t.Parallel()
	failing := build(t, "failing")
	s := secure(t, "HANDOVER_PROBATION=3s")
	s.Upgrade(2)
	s.Swap(failing)
	successor := s.prove()
	accepted := s.dial(3, successor)
	once(t, s.address, "/?id=fail", successor)
	s.settle()
	s.Swap(build(t, ""))
	s.finish()
	s.askedAgain(accepted, 0)
	for _, c := range accepted {
		c.Close()
	}
	s.Stop()
	if moved := sealedOnce(t, s.sealed); moved < len(accepted)+crowdOverTLS.Total() {
		t.Errorf("%d secrets have moved", moved)
	}
}
