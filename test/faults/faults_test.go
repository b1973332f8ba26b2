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
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/client"
	"github.com/handover-go/handover/test/internal/journal"
	"github.com/handover-go/handover/test/internal/rig"
)

// fault is where and how a process is struck: see faulty in the library.
type fault struct{ direction, frame, moment, effect string }

func (f fault) String() string {
	return strings.Join([]string{f.direction, f.frame, f.moment, f.effect}, " ")
}

// kills reports whether the process that is struck is killed, at once or after a while of standing still.
func (f fault) kills() bool { return f.effect == "KILL" || f.effect == "HALT" }

// build returns the service with faults compiled in, and with a flaw of its own if one is named.
func build(t *testing.T, flaw string) string {
	t.Helper()
	return rig.Build(t, flaw, "-tags", "handoverfault")
}

// run is a service under load.
type run struct {
	*rig.Run
	t       *testing.T
	address string
	reader  *reader
	outcome *handovertest.Watch
	crash   bool // of the only generation
}

// patience bounds what is waited for on one connection.
const patience = 20 * time.Second

// crowd is a little of everything.
var crowd = handovertest.Clients{KeepAlive: 4, New: 2, Slow: 2, Upload: 1, Pipelined: 1, Dribble: 1, Idle: 1}

// newRun is of a service that is started at address.
func newRun(t *testing.T, address string) *run {
	return &run{Run: rig.New(t, rig.Patience{Test: time.Minute}), t: t, address: address, reader: newReader()}
}

func start(t *testing.T, env ...string) *run {
	t.Helper()
	return startWith(t, crowd, env...)
}

func startWith(t *testing.T, clients handovertest.Clients, env ...string) *run {
	t.Helper()
	r := serve(t, handovertest.FreeAddress(t), env...)
	load := r.Load()
	load.Clients = clients
	r.drive(load)
	return r
}

// serve starts the service, which nobody asks yet.
func serve(t *testing.T, address string, env ...string) *run {
	t.Helper()
	r := newRun(t, address)
	r.launch(handovertest.Service{
		Path: build(t, ""), Address: address, Output: r.reader,
		Env: append([]string{
			"ADDR=" + address, "HANDOVER_PROBATION=300ms", "HANDOVER_CHECK_INTERVAL=50ms", "HANDOVER_CHECK_TIMEOUT=1s",
			"HANDOVER_DRAIN_TIMEOUT=20s",
		}, env...),
	})
	return r
}

// launch starts the service, and waits until it has said so, which is after its first answers: that is no outcome of a handover.
func (r *run) launch(s handovertest.Service) {
	r.t.Helper()
	r.Start(s)
	const says = "msg=serving "
	if said := r.WatchFor(says); strings.Contains(r.Output(1<<20), says) {
		said.Forget()
	} else {
		r.Line(said, "the service does not say that it serves")
	}
}

// drive puts the service under load.
func (r *run) drive(load handovertest.Load) {
	r.t.Helper()
	r.Drive(load)
	r.reader.drives(r.Driver)
}

// upgrade asks for a handover; settle waits until it is over.
func (r *run) upgrade() {
	r.outcome = r.Watch(journal.SaysAny(
		`msg="serving: the handover is final"`, `msg="handover aborted`, `msg="successor taken back`, `msg="the incumbent died`, `msg=serving `,
	))
	r.Signal(r.PID(), syscall.SIGUSR2)
}

// prove asks for a handover, and returns the successor when it serves on probation.
func (r *run) prove() (successor int) {
	r.t.Helper()
	proof := r.WatchFor(`msg="serving on probation"`)
	r.upgrade()
	return journal.Number(r.t, r.Line(proof, "the successor does not serve"), "pid")
}

func (r *run) settle() string { return r.Line(r.outcome, "the handover has no outcome") }

// finish checks that the next upgrade works, that nothing was lost but in a crash, and that nothing is left.
func (r *run) finish() handovertest.Report {
	r.t.Helper()
	r.Answers(20)
	r.Upgrade(1)
	report := r.Driver.Stop()
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
	return startWith(t, clients, append(env, arm(t, f))...)
}

// arm returns the variable of a service's environment by which f will strike once.
func arm(t *testing.T, f fault) (env string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "fault")
	must(t, os.WriteFile(file, []byte(f.String()), 0o600))
	return "HANDOVER_FAULT=" + file
}

// struck waits for the fault and sees it through.
func (r *run) struck(f fault, watch *handovertest.Watch) (pid int) {
	r.t.Helper()
	line := r.Line(watch, "the fault never struck")
	pid, at := journal.Number(r.t, line, "pid"), journal.Number(r.t, line, "at")
	switch f.effect {
	case "STOP":
		r.standsStill(pid, 500*time.Millisecond)
		r.Signal(pid, syscall.SIGCONT)
		return pid
	case "HALT":
		r.standsStill(pid, 200*time.Millisecond)
		r.Kill(pid)
	case "KILL":
		r.AwaitExit(pid)
	}
	r.pass(100 * time.Millisecond)                // until clients have seen it: a loss has the time at which it was seen
	r.Driver.Killed(pid, time.Unix(0, int64(at))) // stopped before, it has done nothing since
	return pid
}

// victim waits for the fault, and returns the process that it strikes.
func (r *run) victim(watch *handovertest.Watch) (pid int) {
	r.t.Helper()
	return journal.Number(r.t, r.Line(watch, "the fault never struck"), "pid")
}

// standsStill leaves a process as it is for that time, or less. If another one serves, it answers; if this one does, nobody can.
func (r *run) standsStill(pid int, d time.Duration) {
	r.t.Helper()
	awaitStopped(r.Run, pid) // it says that it will before it does
	still, cancel := context.WithTimeout(r.Ctx, d)
	defer cancel()
	_ = r.Driver.WaitAnswers(still, 20)
}

// awaitStopped waits until the process stands still: the kernel tells nobody but its parent.
func awaitStopped(r *rig.Run, pid int) {
	r.Eventually(fmt.Sprintf("process %d at rest", pid), func() (any, bool) {
		family := r.Family()
		return family, slices.ContainsFunc(family, func(p handovertest.Process) bool { return p.PID == pid && p.State == "T" })
	})
}

func (r *run) watchStrike() *handovertest.Watch {
	return r.Watch(func(line string) bool { return strikes.MatchString(line) })
}

// strike runs one handover with one fault.
func strike(t *testing.T, f fault) {
	var env []string
	if f.answered() {
		env = []string{"HANDOVER_PROBATION=1500ms"}
	}
	r := armed(t, f, crowd, env...)
	watch := r.watchStrike()
	r.upgrade()
	pid := r.struck(f, watch)
	t.Logf("%s: pid %d; %s", f, pid, r.settle())
	r.crash = f.effect == "KILL" && beforeListeners(f)
	r.finish()
}

// answered reports whether the successor is killed when it has had its first PING. A probation of more than a second keeps that from being the last
// one, behind which comes FINAL, where the incumbent gets to send it late: whoever did not run for longer has all deadlines moved.
func (f fault) answered() bool {
	return f.effect == "KILL" && f.moment == "after" && (f.direction == "receive" && f.frame == "PING" || f.direction == "send" && f.frame == "PONG")
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
	watch := r.watchStrike()
	successor := r.prove()
	var idle []*client.Conn
	for range 3 {
		c := client.Dial(t, r.address, patience)
		c.IsOf(successor)
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

// grid runs every moment of each frame, killed and stopped: a fifth of them, which a seed chooses, or all with HANDOVER_COUNT=full.
func grid(t *testing.T, frames []string, run func(*testing.T, fault), leaveOut func(fault) bool) {
	all := gridOf(frames, []string{"KILL", "STOP"}, leaveOut)
	sample(t, (len(all)+4)/5, all, run)
}

// gridOf are the effects at every moment of each frame.
func gridOf(frames, effects []string, leaveOut func(fault) bool) (all []fault) {
	for _, frame := range frames {
		for direction, at := range moments {
			for _, moment := range at {
				for _, effect := range effects {
					if f := (fault{direction, frame, moment, effect}); leaveOut == nil || !leaveOut(f) {
						all = append(all, f)
					}
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b fault) int { return strings.Compare(a.String(), b.String()) }) // the order of a map is another each time
	return all
}

// TestStruckAtAFrameTheServiceGoesOn strikes either side before, within and after each frame of a handover.
func TestStruckAtAFrameTheServiceGoesOn(t *testing.T) {
	t.Parallel()
	grid(t, append(incumbentSends, successorSends...), strike, killsTheService)
}

// TestStruckWhileConnectionsFollow does so after FINAL.
func TestStruckWhileConnectionsFollow(t *testing.T) {
	t.Parallel()
	grid(t, []string{"CONN", "CONN_ACK", "GONE"}, strike, killsTheService)
}

// killsTheService reports whether the process that is struck is the service, and no other stands by: the successor once
// the handover is final. See TestKilledAfterFinalDrainersGoOn.
func killsTheService(f fault) bool {
	receiver := f.direction == "receive" && (f.frame == "FINAL" || f.frame == "CONN" || f.frame == "GONE")
	return f.kills() && (receiver || f.direction == "send" && f.frame == "CONN_ACK")
}

// TestStruckWhileTakenBack does so while a successor whose work fails returns what it was given.
func TestStruckWhileTakenBack(t *testing.T) {
	t.Parallel()
	grid(t, []string{"RETURN", "RESUME", "RETURNED", "RESUMED", "CONN", "CONN_ACK", "GONE"}, strikeReturn, leavesNobody)
}

// leavesNobody reports whether the process that is struck while it takes a successor back is the only one that can serve.
func leavesNobody(f fault) bool {
	// Killed before it takes back a generation that cannot serve, the incumbent leaves nobody who can.
	alone := f.direction == "receive" && f.frame == "RETURN" || f.direction == "send" && f.frame == "RESUME" && f.moment != "after"
	// Killed once it has said that it serves again, it is the service.
	service := f.direction == "send" && (f.frame == "RESUMED" && f.moment == "after" || f.frame == "CONN_ACK") ||
		f.direction == "receive" && (f.frame == "CONN" || f.frame == "GONE" || f.frame == "RETURNED" && f.moment == "after")
	return f.kills() && (alone || service)
}

// TestKilledAfterFinalDrainersGoOn kills the successor after FINAL: that is a crash of the service, but what it had not
// accepted is answered by the generation that has it: a request in flight, and a connection that it was sent and did not
// acknowledge.
func TestKilledAfterFinalDrainersGoOn(t *testing.T) {
	t.Parallel()
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
			r.Driver.Stop()
			incumbent := r.PID()
			idle, busy := client.Dial(t, r.address, patience), client.Dial(t, r.address, patience)
			idle.IsOf(incumbent)
			watch := r.watchStrike()
			busy.Ask("/slow?id=2&ms=1500")
			r.upgrade()
			r.AwaitExit(r.victim(watch))
			busy.AnswerBy(incumbent)
			if c.idleLives {
				idle.Ask("/?id=3")
				idle.AnswerBy(incumbent)
			}
		})
	}
}
