//go:build linux

package traffic

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
)

// workers says how often each generation that starts from now on listens at each address, in a group.
type workers struct {
	t    *testing.T
	file string
}

func newWorkers(t *testing.T, n string) workers {
	t.Helper()
	w := workers{t, filepath.Join(t.TempDir(), "workers")}
	w.are(n)
	return w
}

func (w workers) are(n string) {
	w.t.Helper()
	if err := os.WriteFile(w.file, []byte(n), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w workers) env() string { return "WORKERS=" + w.file }

// TestGroupThatShrinksAndGrowsLosesNothing: clients that connect all the time have connections queued at every socket of a group when
// the next build has fewer of them, when one has more, and when one with more fails before it serves.
func TestGroupThatShrinksAndGrowsLosesNothing(t *testing.T) {
	for name, env := range map[string][]string{
		"multipath":           nil, // as package net listens where the kernel can
		"single path":         {"MULTIPATH=off"},
		"without a privilege": {"MULTIPATH=off", "NET_ADMIN=off"},
	} {
		t.Run(name, func(t *testing.T) {
			workers := newWorkers(t, "4")
			s := start(t, append(env, workers.env())...)
			load := s.Load()
			load.Clients = handovertest.Clients{New: 24, KeepAlive: 4}
			load.Think = [2]time.Duration{-1, -1}
			load.CountPoliteCloses = true
			s.Drive(load)
			aborted := s.WatchFor(`msg="handover aborted`)
			workers.are("6")
			s.swapFlaw("check")
			s.Signal(s.PID(), sigUpgrade)
			s.Line(aborted, "the bad build is not refused")
			s.Answers(200)
			s.swapFlaw("")
			for _, n := range []string{"2", "4", "1", "6", "2"} {
				workers.are(n)
				s.Next()
				s.Answers(200)
			}
			t.Log(s.Finish())
		})
	}
}

// TestGroupOfDatagramSocketsShrinksAndGrowsWithNothingLost: senders enough for every socket of the group have each datagram answered:
// the kernel has room for all, and drops none because a socket is given up.
func TestGroupOfDatagramSocketsShrinksAndGrowsWithNothingLost(t *testing.T) {
	for name, bind := range map[string]string{"one address": "127.0.0.1", "every address": "0.0.0.0"} {
		t.Run(name, func(t *testing.T) {
			_, port, _ := net.SplitHostPort(handovertest.FreeAddress(t))
			workers := newWorkers(t, "4")
			s := start(t, workers.env(), "PACKETS=udp4:"+net.JoinHostPort(bind, port))
			senders := make([]*sender, 16)
			for i := range senders {
				senders[i] = newSender(t, "udp", net.JoinHostPort("127.0.0.1", port))
				senders[i].burst, senders[i].fits, senders[i].anybody = 2, 16, true
				senders[i].begin()
			}
			for _, n := range []string{"2", "4", "1", "3"} {
				workers.are(n)
				pid := s.Replaced() // what the one before gave up is closed
				for _, c := range senders {
					c.answeredBy(pid)
				}
			}
			for _, c := range senders {
				if lost := c.finish(patience); lost != 0 {
					t.Errorf("%d datagrams lost", lost)
				}
			}
		})
	}
}
