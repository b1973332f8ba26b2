//go:build linux

// Package faults strikes generations while they hand over, and looks whether anything is lost but what the killed process
// itself held.
package faults

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
)

// fault is where and how a process is struck: see faulty in the library.
type fault struct{ direction, frame, moment, signal string }

func (f fault) String() string {
	return strings.Join([]string{f.direction, f.frame, f.moment, f.signal}, " ")
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
	load    *handovertest.Driver
	timeout context.Context
	outcome *handovertest.Watch
}

func start(t *testing.T, env ...string) *run {
	t.Helper()
	address := handovertest.FreeAddress(t)
	service := handovertest.Start(t, handovertest.Service{
		Path: build(t, ""), Address: address, Network: "tcp",
		Env: append([]string{
			"ADDR=" + address, "HANDOVER_PROBATION=300ms", "HANDOVER_CHECK_INTERVAL=50ms", "HANDOVER_CHECK_TIMEOUT=1s",
			"HANDOVER_DRAIN_TIMEOUT=20s",
		}, env...),
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	load := service.Load()
	load.Clients = handovertest.Clients{KeepAlive: 4, New: 2, Slow: 2, Upload: 1, Pipelined: 1, Dribble: 1, Idle: 1}
	load.Quiet = [2]time.Duration{time.Second, 2 * time.Second}
	driver, err := handovertest.Drive(ctx, load)
	if err != nil {
		t.Fatal(err)
	}
	return &run{Running: service, t: t, load: driver, timeout: ctx}
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
	handovertest.AssertLostInCrashOnly(r.t, report)
	if r.t.Failed() {
		r.t.Log(r.Output(120))
	}
	return report
}

var strikes = regexp.MustCompile(`msg="fault strikes" pid=(\d+) at=(\d+)`)

// strike runs one handover with one fault.
func strike(t *testing.T, f fault, flaw string) {
	file := filepath.Join(t.TempDir(), "fault")
	if err := os.WriteFile(file, []byte(f.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, "HANDOVER_FAULT="+file)
	if flaw != "" {
		r.Swap(build(t, flaw))
	}
	struck := r.Watch(func(line string) bool { return strikes.MatchString(line) })
	r.upgrade()
	found := strikes.FindStringSubmatch(r.line(struck, "the fault never struck"))
	pid, _ := strconv.Atoi(found[1])
	nanos, _ := strconv.ParseInt(found[2], 10, 64)
	if flaw != "" {
		r.Swap(build(t, ""))
	}
	switch f.signal {
	case "KILL":
		r.load.Killed(pid, time.Unix(0, nanos))
		r.AwaitExit(pid)
	case "STOP":
		// The process stands still. If another one serves, it answers; if this one does, nobody can.
		still, cancel := context.WithTimeout(r.timeout, 500*time.Millisecond)
		_ = r.load.WaitAnswers(still, 20)
		cancel()
		r.Signal(pid, syscall.SIGCONT)
	}
	t.Logf("%s: pid %d; %s", f, pid, r.settle())
	r.finish()
}

// incumbentSends and successorSends are the frames of a handover up to FINAL, and the moments of each.
var (
	incumbentSends = []string{"OFFER", "LISTENERS", "FREEZE", "CARRY", "COMMIT", "PREVIEW", "PING", "FINAL"}
	successorSends = []string{"HELLO", "ACK", "ADOPTED", "READY", "IMPORTED", "SERVING", "PONG"}
)

// TestStruckAtAFrameTheServiceGoesOn strikes either side before, within and after each frame of a handover.
func TestStruckAtAFrameTheServiceGoesOn(t *testing.T) {
	for _, frame := range append(incumbentSends, successorSends...) {
		for _, f := range []fault{
			{"send", frame, "before", ""}, {"send", frame, "within", ""}, {"send", frame, "after", ""},
			{"receive", frame, "before", ""}, {"receive", frame, "after", ""},
		} {
			if f.direction == "receive" && f.frame == "FINAL" {
				continue // the successor is the service then: see TestSuccessorKilledAfterFinal
			}
			for _, f.signal = range []string{"KILL", "STOP"} {
				t.Run(strings.ReplaceAll(fmt.Sprint(f), " ", "_"), func(t *testing.T) {
					t.Parallel()
					strike(t, f, "")
				})
			}
		}
	}
}
