//go:build debian

package zoo

import (
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/test/internal/count"
)

// returns is how many bad builds a test under load takes back.
func returns() int { return count.Of(2, 10) }

// probation is a handover on probation: no bad build passes it, as it would last for ten minutes.
type probation struct {
	z         *cage
	incumbent int
	successor int
	ended     chan outcome
	newcomers map[*client]*session // whose connections the successor has accepted
	wrk       *wrk                 // nil, or another newcomer
}

var long = []string{"--probation", "10m"}

// prove upgrades to a build, and has newcomers of every kind join when it serves.
func (z *cage) prove(c *crowd, flags ...string) *probation {
	z.t.Helper()
	p := &probation{z: z, incumbent: z.PID(), ended: make(chan outcome, 1)}
	serves := z.WatchFor(proving)
	c.inside.Go(func() {
		o, err := z.upgrade(z.ctx, flags...)
		if err != nil {
			z.t.Error(err)
		}
		p.ended <- o
	})
	z.Line(serves)
	if p.successor = z.PID(); p.successor == p.incumbent {
		z.t.Fatalf("process %d answers, want a successor", p.successor)
	}
	p.newcomers = z.sessions(c, 2)
	c.answered(z, keys(p.newcomers)...)
	return p
}

// resumed waits until the handover is over, and the incumbent serves again, alone. It returns how many connections were lost, as it says.
func (p *probation) resumed() (lost int) {
	p.z.t.Helper()
	deadline := time.NewTimer(soon)
	defer deadline.Stop()
	select {
	case o := <-p.ended:
		if o.code != 11 || o.Outcome != "resumed" || o.PID != p.incumbent {
			p.z.t.Fatalf("%+v, want it resumed, and process %d\n%s", o, p.incumbent, p.z.Output(80))
		}
		lost = o.Lost
	case <-deadline.C:
		p.z.t.Fatalf("the handover does not end\n%s", p.z.Output(80))
	}
	p.z.AwaitExit(p.successor)
	if pid := p.z.PID(); pid != p.incumbent {
		p.z.t.Errorf("process %d answers, want the incumbent, %d", pid, p.incumbent)
	}
	return lost
}

// holds waits until a process has the connections of all newcomers.
func (p *probation) holds(pid int) {
	p.z.t.Helper()
	p.z.Eventually(fmt.Sprintf("process %d with the newcomers' connections", pid), func() (any, bool) {
		clients, unix := p.z.accepted(pid)
		for one, s := range p.newcomers {
			if s.unix() {
				unix--
			} else if !clients[s.local] {
				return one.kind + " from " + s.local, false
			}
		}
		if p.wrk != nil {
			for _, local := range p.wrk.has {
				if !clients[local] {
					return "wrk from " + local, false
				}
			}
		}
		return fmt.Sprintf("%d more over the unix socket", unix), unix >= 0
	})
}

// TestBuildThatFallsIllGivesBackWhatItAccepted: the keeper finds out in probation, and takes back a build that lives. What it had accepted
// goes on in the incumbent, what the incumbent had kept never left it, and nobody notices.
func TestBuildThatFallsIllGivesBackWhatItAccepted(t *testing.T) {
	sick := buildSick(t)
	z := start(t, slices.Concat(healthy, long)...)
	z.widen()
	c, w, d := z.everybody()
	for range returns() {
		p := z.prove(c, "--binary", sick)
		p.wrk = z.wrk()
		p.holds(p.successor)
		z.sicken()
		if lost := p.resumed(); lost != 0 {
			t.Errorf("%d connections lost, says the incumbent", lost)
		}
		p.holds(p.incumbent)
		c.answered(z)
		p.wrk.stop()
	}
	w.stop()
	c.left()
	if lost := d.finish(z); len(lost) > 0 {
		t.Errorf("datagrams %v were not answered, and those of the control run were", lost)
	}
	d.alternates(returns())
	c.nothingLost()
	c.report()
	z.alone()
}

// TestCrashedBuildLosesWhatItHadAccepted and nothing else: by kill -9, the same in any state of its connections.
func TestCrashedBuildLosesWhatItHadAccepted(t *testing.T) {
	loses(t, func(z *cage, successor int) { z.Kill(successor) })
}

// TestHungBuildLosesWhatItHadAccepted and nothing else: it is stopped, and the incumbent kills it when it does not answer.
func TestHungBuildLosesWhatItHadAccepted(t *testing.T) {
	loses(t, func(*cage, int) {})
}

const (
	// signOfLife is longer than it takes until the incumbent has asked its successor for one again; it asks twice a second.
	signOfLife = 2 * time.Second
	// passing is how many connections those have at most at a time who come and go: curl, h2load, gRPC, and the test itself.
	passing = 12
)

// loses has successors die on probation, stopped before: then what each has is known exactly.
func loses(t *testing.T, die func(z *cage, successor int)) {
	z := start(t, long...)
	c, w, d := z.everybody()
	excused := 0
	for range returns() {
		p := z.prove(c)
		counted := time.NewTimer(signOfLife) // nothing tells of it
		<-counted.C
		before := len(c.lost())
		p.holds(p.successor)
		z.Signal(p.successor, syscall.SIGSTOP) // it has five seconds to live from here, unless it is killed
		z.Eventually("a successor that stands still", func() (any, bool) { return nil, stopped(t, p.successor) })
		clients, unix := z.accepted(p.successor)
		have := owners(t, clients)
		die(z, p.successor)
		said := p.resumed()
		z.Eventually("the newcomers' connections ended", func() (any, bool) {
			c.mu.Lock()
			defer c.mu.Unlock()
			for one := range p.newcomers {
				if !one.over {
					return one.kind, false
				}
			}
			return nil, true
		})
		c.answered(z) // whoever was in a visit has come to its end
		lost := c.lost()[before:]
		for _, l := range lost {
			switch s := p.newcomers[l.client]; {
			case s != nil && !s.unix() && !clients[s.local]:
				t.Errorf("lost, and the dead had it not: %v", l)
			case s == nil && (l.by() == os.Getpid() || have[l.by()] == 0):
				t.Errorf("lost, and the dead had no connection of process %d: %v", l.by(), l)
			}
		}
		excused += len(lost)
		held := len(clients) + unix
		t.Logf("the dead had %d connections, %d of them of newcomers; %d lost, says the incumbent; %d visits failed", held, len(p.newcomers), said, len(lost))
		if said < len(p.newcomers) || said > len(p.newcomers)+passing || held > len(p.newcomers)+passing {
			t.Errorf("%d connections lost, says the incumbent, and %d were; want the newcomers' %d, and at most %d more", said, held, len(p.newcomers), passing)
		}
	}
	w.stop()
	c.left()
	dropped := drops(t, z.udp)
	if lost := d.finish(z); len(lost) > dropped+returns() {
		t.Errorf("datagrams %v were not answered, and the kernel has dropped %d; want no more than the one in the hand of each that died", lost, dropped)
	}
	d.alternates(returns())
	if all := c.lost(); len(all) != excused {
		t.Errorf("%d visits failed, and %d with those that died: %v", len(all), excused, all)
	}
	c.report()
	z.alone()
}

func keys(m map[*client]*session) []*client {
	all := make([]*client, 0, len(m))
	for one := range m {
		all = append(all, one)
	}
	return all
}
