//go:build linux

package faults

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/client"
)

// atOnce is within how long a generation has drained whose clients have all left or gone on, on a machine that is busy; the drain
// deadline is far beyond.
const atOnce = 5 * time.Second

// TestClientsThatLeaveAtTheSwitchLeaveNothingBehind: at each moment of a connection's way from one generation to the next, and at random
// instants around FINAL, clients close their connections, in order and with a reset, end their half, or ask for one last answer. The
// way goes on, the generation before ends at once, and descriptors, goroutines and connections are as many as they should be.
func TestClientsThatLeaveAtTheSwitchLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "fault")
	r := startWith(t, handovertest.Clients{New: 1}, "HANDOVER_FAULT="+file)
	r.Driver.Stop()
	r.Upgrade(1)
	r.Eventually("one generation", func() (any, bool) { all := r.Family(); return all, len(all) == 1 })
	// What the end of the other brings about is over when the counts stay as they are.
	var before [2]int
	same := 0
	r.Eventually("counts that stay", func() (any, bool) {
		now := r.counts()
		if same++; now != before {
			same = 0
		}
		before = now
		return now, same == 20
	})

	var stay []*client.Conn
	for _, f := range []fault{
		{"send", "FINAL", "before", "STOP"}, {"receive", "FINAL", "after", "STOP"},
		{"send", "CONN", "before", "STOP"}, {"receive", "CONN", "before", "STOP"}, {"receive", "CONN", "after", "STOP"},
		{"send", "CONN_ACK", "before", "STOP"}, {"receive", "CONN_ACK", "before", "STOP"}, {"receive", "CONN_ACK", "after", "STOP"},
	} {
		must(t, os.WriteFile(file, []byte(f.String()), 0o600))
		stay = append(stay, r.leave(f.String(), func(l *leavers) {
			watch := r.watchStrike()
			r.upgrade()
			pid := r.victim(watch)
			awaitStopped(r.Run, pid)
			l.set(func() time.Duration { return 0 })
			r.Signal(pid, syscall.SIGCONT)
		})...)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 4 {
		stay = append(stay, r.leave("around FINAL", func(l *leavers) {
			r.prove()
			const probation = 300 * time.Millisecond
			l.set(func() time.Duration {
				return probation - 50*time.Millisecond + time.Duration(random.Int64N(int64(100*time.Millisecond)))
			})
		})...)
	}

	want := [2]int{before[0] + len(stay), before[1] + len(stay)} // one of each for each
	r.Eventually(fmt.Sprintf("%d descriptors and %d goroutines", want[0], want[1]), func() (any, bool) {
		now := r.counts()
		return now, now == want
	})
	t.Logf("%d descriptors and %d goroutines without clients", before[0], before[1])
	pid := r.PID()
	r.Eventually("as many descriptors without the connection that asked", func() (any, bool) {
		n, err := handovertest.OpenFDs(pid)
		must(t, err)
		return n, n == want[0]-1
	})
	ending := r.WatchFor("msg=ending ")
	r.Signal(pid, syscall.SIGTERM)
	if line := r.Line(ending, "the service does not end"); !strings.Contains(line, fmt.Sprintf(" connections=%d ", len(stay))) {
		t.Errorf("%q; want %d connections", line, len(stay))
	}
	r.AwaitExit(pid)
	for _, bad := range []string{"panic", "drain deadline"} {
		if out := r.Output(1 << 20); strings.Contains(out, bad) {
			t.Errorf("%s in the output:\n%s", bad, out)
		}
	}
}

// leave upgrades the service by handOver, which has the leavers go at some moment of it, and returns the clients that stay.
func (r *run) leave(moment string, handOver func(*leavers)) (stay []*client.Conn) {
	r.t.Helper()
	r.Renew()
	incumbent := r.PID()
	l := &leavers{t: r.t, moment: moment}
	for i := range 8 * len(waysToLeave) {
		c := client.Dial(r.t, r.address, patience)
		c.IsOf(incumbent)
		l.all = append(l.all, leaver{c, waysToLeave[i%len(waysToLeave)]})
	}
	stays := client.Dial(r.t, r.address, patience)
	stays.IsOf(incumbent)
	handOver(l)
	began := time.Now()
	if line := r.settle(); !strings.Contains(line, "the handover is final") {
		r.t.Fatalf("%s: %s", moment, line)
	}
	l.gone()
	r.AwaitExit(incumbent)
	if took := time.Since(began); took > atOnce {
		r.t.Errorf("%s: the generation before takes %s to end", moment, took)
	} else {
		r.t.Logf("%s: the generation before has gone after %s", moment, took)
	}
	stays.IsOf(r.PID())
	return []*client.Conn{stays}
}

// leavers are clients that leave at one moment.
type leavers struct {
	t      *testing.T
	moment string
	all    []leaver
	ended  chan error
}

type leaver struct {
	*client.Conn
	leave func(*client.Conn) error
}

// set has each of them leave, after some time.
func (l *leavers) set(after func() time.Duration) {
	l.ended = make(chan error, len(l.all))
	for _, c := range l.all {
		timer := time.NewTimer(after())
		go func() {
			<-timer.C
			l.ended <- c.leave(c.Conn)
		}()
	}
}

func (l *leavers) gone() {
	l.t.Helper()
	for range l.all {
		if err := <-l.ended; err != nil {
			l.t.Errorf("%s: %v", l.moment, err)
		}
	}
}

var waysToLeave = []func(*client.Conn) error{
	func(c *client.Conn) error { return c.Close() },
	func(c *client.Conn) error { // with a reset
		if err := c.Conn.(*net.TCPConn).SetLinger(0); err != nil {
			return err
		}
		return c.Close()
	},
	func(c *client.Conn) error { // with an end of its half
		if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			return err
		}
		return nothingMore(c, "its half ended")
	},
	func(c *client.Conn) error { // asks, and does not wait for the answer
		_, err := io.WriteString(c.Conn, "GET /?id=3 HTTP/1.1\r\nHost: service\r\n\r\n")
		return errors.Join(err, c.Close())
	},
	func(c *client.Conn) error { // is answered, and the server closes
		if _, err := io.WriteString(c.Conn, "GET /?id=last HTTP/1.1\r\nHost: service\r\nConnection: close\r\n\r\n"); err != nil {
			return err
		}
		rest, err := io.ReadAll(c.Reader)
		if err != nil || !strings.HasPrefix(string(rest), "HTTP/1.1 200 OK\r\n") || !strings.Contains(string(rest), "\r\n\r\nlast ") {
			return fmt.Errorf("the last request is answered %q, %w", rest, err)
		}
		return c.Close()
	},
}

// nothingMore waits for the end.
func nothingMore(c *client.Conn, why string) error {
	rest, err := io.ReadAll(c.Reader)
	if len(rest) > 0 || err != nil {
		return fmt.Errorf("%s, and then %q, %w", why, rest, err)
	}
	return c.Close()
}

// counts are the descriptors and goroutines of the process that serves, with the connection that asks for them.
func (r *run) counts() [2]int {
	r.t.Helper()
	c := client.Dial(r.t, r.address, patience)
	defer c.Close()
	c.Ask("/goroutines")
	words := strings.Fields(c.Answer())
	pid, err := strconv.Atoi(words[0])
	must(r.t, err)
	goroutines, err := strconv.Atoi(words[1])
	must(r.t, err)
	descriptors, err := handovertest.OpenFDs(pid)
	must(r.t, err)
	return [2]int{descriptors, goroutines}
}
