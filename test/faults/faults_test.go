//go:build linux

// Package faults strikes generations while they hand over, and looks whether anything is lost but what the killed process
// itself held.
package faults

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/client"
)

// fault is where and how a process is struck: see faulty in the library.
type fault struct{ direction, frame, moment, effect string }

func (f fault) String() string {
	return strings.Join([]string{f.direction, f.frame, f.moment, f.effect}, " ")
}

// build returns the service with faults compiled in, and with a flaw of its own if one is named.
func build(t *testing.T, flaw string) string {
	t.Helper()
	flags := []string{"-tags", "handoverfault"}
	if flaw != "" {
		flags = append(flags, "-ldflags", "-X main.flaw="+flaw)
	}
	return handovertest.Build(t, "../service", flags...)
}

// run is a service under load.
type run struct {
	*handovertest.Running
	t       *testing.T
	address string
	load    *handovertest.Driver
	timeout context.Context
	outcome *handovertest.Watch
	crash   bool // of the only generation
}

// patience bounds what is waited for on one connection.
const patience = 20 * time.Second

// crowd is a little of everything.
var crowd = handovertest.Clients{KeepAlive: 4, New: 2, Slow: 2, Upload: 1, Pipelined: 1, Dribble: 1, Idle: 1}

func start(t *testing.T, env ...string) *run {
	t.Helper()
	return startWith(t, crowd, env...)
}

func startWith(t *testing.T, clients handovertest.Clients, env ...string) *run {
	t.Helper()
	address, reader := handovertest.FreeAddress(t), newReader()
	service := handovertest.Start(t, handovertest.Service{
		Path: build(t, ""), Address: address, Network: "tcp", Output: reader,
		Env: append([]string{
			"ADDR=" + address, "HANDOVER_PROBATION=300ms", "HANDOVER_CHECK_INTERVAL=50ms", "HANDOVER_CHECK_TIMEOUT=1s",
			"HANDOVER_DRAIN_TIMEOUT=20s", "GORACE=atexit_sleep_ms=0",
		}, env...),
	})
	r := &run{Running: service, t: t, address: address}
	r.renew()
	load := service.Load()
	load.Clients = clients
	load.Quiet = [2]time.Duration{time.Second, 2 * time.Second}
	var err error
	if r.load, err = handovertest.Drive(t.Context(), load); err != nil {
		t.Fatal(err)
	}
	reader.drives(r.load)
	return r
}

// renew bounds everything that is waited for from now on.
func (r *run) renew() {
	var cancel context.CancelFunc
	r.timeout, cancel = context.WithTimeout(r.t.Context(), time.Minute)
	r.t.Cleanup(cancel)
}

// line waits for a line of output.
func (r *run) line(w *handovertest.Watch, what string) string {
	r.t.Helper()
	line, err := w.Line(r.timeout)
	if err != nil {
		r.t.Fatalf("%s: %v\n%s", what, err, r.Output(60))
	}
	return line
}

// upgrade asks for a handover; settle waits until it is over.
func (r *run) upgrade() {
	r.outcome = r.Watch(func(line string) bool {
		for _, msg := range []string{
			`msg="serving: the handover is final"`, `msg="handover aborted`, `msg="successor taken back`,
			`msg="the incumbent died`, `msg=serving `,
		} {
			if strings.Contains(line, msg) {
				return true
			}
		}
		return false
	})
	r.Signal(r.PID(), syscall.SIGUSR2)
}

func (r *run) settle() string { return r.line(r.outcome, "the handover has no outcome") }

// finish checks that the next upgrade works, that nothing was lost but in a crash, and that nothing is left.
func (r *run) finish() handovertest.Report {
	r.t.Helper()
	if err := r.load.WaitAnswers(r.timeout, 20); err != nil {
		r.t.Fatalf("nobody answers: %v\n%s", err, r.Output(60))
	}
	r.Upgrade(1)
	report := r.load.Stop()
	if r.crash {
		report.Refused = 0
	}
	handovertest.AssertLostInCrashOnly(r.t, report)
	if r.t.Failed() {
		r.t.Log(r.Output(120))
	}
	return report
}

var strikes = regexp.MustCompile(`msg="fault strikes" pid=(\d+) at=(\d+)`)

// armed starts a service in which f will strike once.
func armed(t *testing.T, f fault, clients handovertest.Clients, env ...string) *run {
	t.Helper()
	file := filepath.Join(t.TempDir(), "fault")
	if err := os.WriteFile(file, []byte(f.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return startWith(t, clients, append(env, "HANDOVER_FAULT="+file)...)
}

// struck waits for the fault and sees it through.
func (r *run) struck(f fault, watch *handovertest.Watch) (pid int) {
	r.t.Helper()
	found := strikes.FindStringSubmatch(r.line(watch, "the fault never struck"))
	pid, _ = strconv.Atoi(found[1])
	nanos, _ := strconv.ParseInt(found[2], 10, 64)
	switch f.effect {
	case "KILL":
		r.AwaitExit(pid)
		r.load.Killed(pid, time.Unix(0, nanos))
	case "STOP":
		r.awaitStopped(pid) // it says that it will before it does
		// The process stands still. If another one serves, it answers; if this one does, nobody can.
		still, cancel := context.WithTimeout(r.timeout, 500*time.Millisecond)
		_ = r.load.WaitAnswers(still, 20)
		cancel()
		r.Signal(pid, syscall.SIGCONT)
	}
	return pid
}

// awaitStopped waits until the process stands still: the kernel tells nobody but its parent.
func (r *run) awaitStopped(pid int) {
	r.t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for {
		for _, p := range r.Family() {
			if p.PID == pid && p.State == "T" {
				return
			}
		}
		select {
		case <-look.C:
		case <-r.timeout.Done():
			r.t.Fatalf("process %d does not stop", pid)
		}
	}
}

func (r *run) watchStrike() *handovertest.Watch {
	return r.Watch(func(line string) bool { return strikes.MatchString(line) })
}

// strike runs one handover with one fault.
func strike(t *testing.T, f fault) {
	r := armed(t, f, crowd)
	watch := r.watchStrike()
	r.upgrade()
	pid := r.struck(f, watch)
	t.Logf("%s: pid %d; %s", f, pid, r.settle())
	r.crash = f.effect == "KILL" && beforeListeners(f)
	r.finish()
}

// beforeListeners reports whether the incumbent is struck while no other process holds its listeners yet: half a frame brings
// none. Killed then, it is a crash of the only generation: until its successor listens anew, clients are refused.
func beforeListeners(f fault) bool {
	return f.direction == "receive" && f.frame == "HELLO" || f.direction == "send" && (f.frame == "OFFER" || f.frame == "LISTENERS" && f.moment != "after")
}

// once asks on a connection that ends with the answer, so that it does not follow; the process that answers may not live to end it.
func once(t *testing.T, address, path string, pid int) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, address)
	want := " " + strconv.Itoa(pid) + " "
	var answer []byte
	for part := make([]byte, 512); !strings.Contains(string(answer), want); {
		n, err := c.Read(part)
		if answer = append(answer, part[:n]...); err != nil && !strings.Contains(string(answer), want) {
			t.Fatalf("answer %q, %v; want it of process %d", answer, err, pid)
		}
	}
}

// strikeReturn runs one handover to a build that gives up once it has connections, with one fault on the way back.
func strikeReturn(t *testing.T, f fault) {
	r := armed(t, f, crowd, "HANDOVER_PROBATION=3s")
	r.Swap(build(t, "failing"))
	serving := r.Watch(func(line string) bool { return strings.Contains(line, `msg="serving on probation"`) })
	watch := r.watchStrike()
	r.upgrade()
	r.line(serving, "the successor does not serve")
	successor := r.PID()
	var idle []*client.Conn
	for range 3 {
		c := client.Dial(t, r.address, patience)
		c.Ask("/?id=idle")
		c.AnswerBy(successor)
		idle = append(idle, c)
	}
	once(t, r.address, "/?id=fail", successor)
	struck := r.struck(f, watch)
	t.Logf("%s: pid %d; %s", f, struck, r.settle())
	r.Swap(build(t, ""))
	if f.effect == "STOP" {
		for _, c := range idle {
			c.Ask("/?id=again")
			c.Answer()
		}
	}
	r.finish()
}

// incumbentSends and successorSends are the frames of a handover up to FINAL, and the moments of each.
var (
	incumbentSends = []string{"OFFER", "LISTENERS", "FREEZE", "CARRY", "COMMIT", "PREVIEW", "PING", "FINAL"}
	successorSends = []string{"HELLO", "ACK", "ADOPTED", "READY", "IMPORTED", "SERVING", "PONG"}
)

// grid runs every moment of each frame, killed and stopped.
func grid(t *testing.T, frames []string, run func(*testing.T, fault), leaveOut func(fault) bool) {
	for _, frame := range frames {
		for _, f := range []fault{
			{"send", frame, "before", ""}, {"send", frame, "within", ""}, {"send", frame, "after", ""},
			{"receive", frame, "before", ""}, {"receive", frame, "after", ""},
		} {
			for _, signal := range []string{"KILL", "STOP"} {
				f := f
				f.effect = signal
				if leaveOut != nil && leaveOut(f) {
					continue
				}
				t.Run(strings.ReplaceAll(fmt.Sprint(f), " ", "_"), func(t *testing.T) {
					t.Parallel()
					run(t, f)
				})
			}
		}
	}
}

// TestStruckAtAFrameTheServiceGoesOn strikes either side before, within and after each frame of a handover.
func TestStruckAtAFrameTheServiceGoesOn(t *testing.T) {
	grid(t, append(incumbentSends, successorSends...), strike, killsTheService)
}

// TestStruckWhileConnectionsFollow does so after FINAL.
func TestStruckWhileConnectionsFollow(t *testing.T) {
	grid(t, []string{"CONN", "CONN_ACK", "GONE"}, strike, killsTheService)
}

// killsTheService reports whether the process that is struck is the service, and no other stands by: the successor once
// the handover is final. See TestKilledAfterFinalDrainersGoOn.
func killsTheService(f fault) bool {
	receiver := f.direction == "receive" && (f.frame == "FINAL" || f.frame == "CONN" || f.frame == "GONE")
	return f.effect == "KILL" && (receiver || f.direction == "send" && f.frame == "CONN_ACK")
}

// TestStruckWhileTakenBack does so while a successor whose work fails returns what it was given.
func TestStruckWhileTakenBack(t *testing.T) {
	grid(t, []string{"RETURN", "RESUME", "RETURNED", "RESUMED", "CONN", "CONN_ACK", "GONE"}, strikeReturn, leavesNobody)
}

// leavesNobody reports whether the process that is struck while it takes a successor back is the only one that can serve.
func leavesNobody(f fault) bool {
	// Killed before it takes back a generation that cannot serve, the incumbent leaves nobody who can.
	alone := f.direction == "receive" && f.frame == "RETURN" || f.direction == "send" && f.frame == "RESUME" && f.moment != "after"
	// Killed once it has said that it serves again, it is the service.
	service := f.direction == "send" && (f.frame == "RESUMED" && f.moment == "after" || f.frame == "CONN_ACK") ||
		f.direction == "receive" && (f.frame == "CONN" || f.frame == "GONE" || f.frame == "RETURNED" && f.moment == "after")
	return f.effect == "KILL" && (alone || service)
}

// TestKilledAfterFinalDrainersGoOn kills the successor after FINAL: that is a crash of the service, but what it had not
// accepted is answered by the generation that has it: a request in flight, and a connection that it was sent and did not
// acknowledge.
func TestKilledAfterFinalDrainersGoOn(t *testing.T) {
	for _, c := range []struct {
		fault
		idleLives bool
	}{
		{fault{"receive", "FINAL", "after", "KILL"}, false},
		{fault{"receive", "CONN", "before", "KILL"}, true},
		{fault{"receive", "CONN", "after", "KILL"}, false},
		{fault{"send", "CONN_ACK", "before", "KILL"}, true},
		{fault{"send", "CONN_ACK", "within", "KILL"}, true},
	} {
		t.Run(strings.ReplaceAll(fmt.Sprint(c.fault), " ", "_"), func(t *testing.T) {
			t.Parallel()
			r := armed(t, c.fault, handovertest.Clients{New: 1})
			r.load.Stop()
			incumbent := r.PID()
			idle, busy := client.Dial(t, r.address, patience), client.Dial(t, r.address, patience)
			idle.Ask("/?id=1")
			idle.AnswerBy(incumbent)
			watch := r.watchStrike()
			busy.Ask("/slow?id=2&ms=1500")
			r.upgrade()
			found := strikes.FindStringSubmatch(r.line(watch, "the fault never struck"))
			killed, _ := strconv.Atoi(found[1])
			r.AwaitExit(killed)
			busy.AnswerBy(incumbent)
			if c.idleLives {
				idle.Ask("/?id=3")
				idle.AnswerBy(incumbent)
			}
		})
	}
}
