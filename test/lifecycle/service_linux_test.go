// Package lifecycle takes a service through every state of its lifecycles: bad builds before and after the commit, each
// wish of a person in each state, joined processes, hostile peers, and looks for what is lost or left over.
package lifecycle

import (
	"context"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/journal"
)

// patience bounds everything that is waited for, in one test.
const patience = time.Minute

// build returns the service, with a flaw if one is named.
func build(t *testing.T, flaw string) string {
	t.Helper()
	if flaw == "" {
		return handovertest.Build(t, "../service")
	}
	return handovertest.Build(t, "../service", "-ldflags", "-X main.flaw="+flaw)
}

// run is a service under test.
type run struct {
	*handovertest.Running
	t       *testing.T
	address string
	ctx     context.Context
	load    *handovertest.Driver // nil until drive

	takeover string // path of the socket, if the service is named
}

// crowd is a little of everything.
var crowd = handovertest.Clients{KeepAlive: 3, New: 2, Slow: 1, Upload: 1, Pipelined: 1, Dribble: 1, Idle: 1}

// start runs the service, or the executable that is given in its place.
func start(t *testing.T, env ...string) *run { return startFrom(t, build(t, ""), env...) }

func startFrom(t *testing.T, executable string, env ...string) *run {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	r := &run{t: t, address: handovertest.FreeAddress(t), ctx: ctx}
	r.Running = handovertest.Start(t, handovertest.Service{
		Path: executable, Address: r.address,
		Env: append([]string{
			"ADDR=" + r.address, "HANDOVER_PROBATION=100ms", "HANDOVER_CHECK_INTERVAL=50ms", "HANDOVER_DRAIN_TIMEOUT=20s",
			// A program with the race detector rests for a second after its end, while its other threads go on.
			"GORACE=atexit_sleep_ms=0",
		}, env...),
	})
	return r
}

// drive puts the service under load.
func (r *run) drive() *run {
	r.t.Helper()
	load := r.Load()
	load.Clients = crowd
	load.Quiet = [2]time.Duration{time.Second, 2 * time.Second}
	var err error
	if r.load, err = handovertest.Drive(r.t.Context(), load); err != nil {
		r.t.Fatal(err)
	}
	return r
}

// Messages of the library that tests wait for.
const (
	begun     = `msg="handover begins`
	refused   = `msg="upgrade signal: no handover begins"`
	aborted   = `msg="handover aborted: this generation serves on"`
	proving   = `msg="serving on probation"`
	resumed   = `msg="successor taken back: this generation serves again"`
	succeeded = `msg="serving: the handover is final"`
	ending    = `msg=ending `
	ended     = `msg="service ended"`
)

// line waits for the line of a watch.
func (r *run) line(w *handovertest.Watch) string {
	r.t.Helper()
	line, err := w.Line(r.ctx)
	if err != nil {
		r.t.Fatalf("%v\n%s", err, r.Output(60))
	}
	return line
}

// begin asks for a handover, and waits until the generation that serves has begun it.
func (r *run) begin() (attempt string) {
	r.t.Helper()
	w := r.Watch(journal.Says(begun))
	r.Signal(r.PID(), syscall.SIGUSR2)
	return r.line(w)
}

// outcome watches for the end of a handover.
func (r *run) outcome() *handovertest.Watch {
	return r.Watch(journal.SaysAny(aborted, resumed, succeeded))
}

// attempt asks for a handover, and returns the line that says how it ended.
func (r *run) attempt() string {
	r.t.Helper()
	w := r.outcome()
	r.Signal(r.PID(), syscall.SIGUSR2)
	return r.line(w)
}

// wantReason checks that a line says why.
func wantReason(t *testing.T, line, message, reason string) {
	t.Helper()
	if !strings.Contains(line, message) || !strings.Contains(journal.Attribute(line, "error"), reason) {
		t.Errorf("the log says:\n%s\nwant %s, with %q for its error", line, message, reason)
	}
}

// assertServes checks that the process, and nobody else of the family, answers as it did before, with nothing lost.
func (r *run) assertServes(pid int) {
	r.t.Helper()
	if got := r.PID(); got != pid {
		r.t.Errorf("process %d answers, want %d", got, pid)
	}
	if r.load != nil {
		r.answers()
		handovertest.AssertNothingLost(r.t, r.load.Snapshot())
	}
}

// answers waits until the load goes on.
func (r *run) answers() {
	r.t.Helper()
	if err := r.load.WaitAnswers(r.ctx, 20); err != nil {
		r.t.Fatalf("%v\n%s", err, r.Output(60))
	}
}

// upgrades checks that a good build upgrades the service straight away, and is alone in the end.
func (r *run) upgrades() {
	r.t.Helper()
	if err := os.RemoveAll(r.Path()); err != nil {
		r.t.Fatal(err)
	}
	r.Swap(build(r.t, ""))
	r.Upgrade(1)
	r.assertAlone(r.PID())
}

// finish ends the load, of which nothing may be lost.
func (r *run) finish() handovertest.Report {
	r.t.Helper()
	report := r.load.Stop()
	handovertest.AssertNothingLost(r.t, report)
	return report
}

// assertAlone waits until every other process of the service has ended.
func (r *run) assertAlone(pid int) {
	r.t.Helper()
	for _, p := range r.Family() {
		if p.PID != pid && p.State != "Z" {
			r.AwaitExit(p.PID)
		}
	}
	r.eventually("process "+itoa(pid)+" alone", func() (any, bool) {
		family := r.Family()
		return family, len(family) == 1 && family[0].PID == pid
	})
}

// eventually waits for what no event tells of.
func (r *run) eventually(what string, holds func() (seen any, ok bool)) {
	r.t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	deadline := time.NewTimer(15 * time.Second)
	defer deadline.Stop()
	for {
		seen, ok := holds()
		if ok {
			return
		}
		select {
		case <-again.C:
		case <-deadline.C:
			r.t.Fatalf("%v, want %s\n%s", seen, what, r.Output(60))
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

// runtimeDir returns a path for takeover sockets that is short enough for them.
func runtimeDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "run-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
