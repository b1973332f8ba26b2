// Package rig builds the service under test, runs it, and waits for what it does.
package rig

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/executable"
	"github.com/handover-go/handover/test/internal/journal"
)

// Build returns the service, without symbols unless the flags have an -ldflags. A flaw, if one is named, is written behind the program in its
// file: so one build has them all.
func Build(t testing.TB, flaw string, flags ...string) string {
	t.Helper()
	path := handovertest.Build(t, "github.com/handover-go/handover/test/service", append([]string{"-ldflags=-s -w"}, flags...)...)
	if flaw != "" {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		executable.Write(t, path, append(content, "flaw="+flaw...), 0o755)
	}
	return path
}

// Patience bounds what is waited for: nothing comes near it unless something is lost.
type Patience struct {
	Test time.Duration // all of it, from New, Start or Renew
	Line time.Duration // a line of output, or answers to the load; default: Test
	Look time.Duration // what no event tells of; default: Line
}

// Run is a service under test. Its methods end the test where what they wait for does not come.
type Run struct {
	*handovertest.Running                      // nil until Start
	Ctx                   context.Context      // of the whole test
	Driver                *handovertest.Driver // nil until Drive
	t                     *testing.T
	patience              Patience
}

// New makes one, whose service is not started.
func New(t *testing.T, p Patience) *Run {
	r := &Run{t: t, patience: Patience{p.Test, cmp.Or(p.Line, p.Test), cmp.Or(p.Look, p.Line, p.Test)}}
	r.Renew()
	return r
}

// Renew begins patience anew.
func (r *Run) Renew() {
	ctx, cancel := context.WithTimeout(r.t.Context(), r.patience.Test)
	r.t.Cleanup(cancel)
	r.Ctx = ctx
}

// Start starts the service, and begins patience anew. If the test fails, it shows what the service wrote last.
func (r *Run) Start(s handovertest.Service) {
	r.t.Helper()
	// A program with the race detector rests for a second after its end, while its other threads go on.
	s.Env = append([]string{"GORACE=atexit_sleep_ms=0"}, s.Env...)
	r.Running = handovertest.Start(r.t, s)
	r.t.Cleanup(func() {
		if r.t.Failed() {
			r.t.Log(r.Output(100))
		}
	})
	r.Renew()
}

// ByHand runs a command as a person would, with the environment and the output of a process of the service, and leaves it to itself.
func (r *Run) ByHand(pid int, command ...string) {
	r.t.Helper()
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		r.t.Fatal(err)
	}
	output, err := os.OpenFile(fmt.Sprintf("/proc/%d/fd/2", pid), os.O_WRONLY, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	defer output.Close()
	shell := exec.CommandContext(r.Ctx, "sh", append([]string{"-c", `"$0" "$@" &`}, command...)...)
	shell.Env = slices.DeleteFunc(strings.Split(strings.TrimRight(string(environ), "\x00"), "\x00"), func(v string) bool {
		return strings.HasPrefix(v, "HANDOVER_LINK=") || strings.HasPrefix(v, "HANDOVER_KEEPER=")
	})
	shell.Stdout, shell.Stderr = output, output
	if err := shell.Run(); err != nil {
		r.t.Fatal(err)
	}
}

// Crowd is a little of everything.
var Crowd = handovertest.Clients{KeepAlive: 3, New: 2, Slow: 1, Upload: 1, Pipelined: 1, Dribble: 1, Idle: 1}

// Drive puts the service under load, in which nobody says nothing for longer than two seconds.
func (r *Run) Drive(load handovertest.Load) {
	r.t.Helper()
	load.Quiet = [2]time.Duration{time.Second, 2 * time.Second}
	var err error
	if r.Driver, err = handovertest.Drive(r.t.Context(), load); err != nil {
		r.t.Fatal(err)
	}
}

// WatchFor watches for a line of output that has all parts, from now on.
func (r *Run) WatchFor(parts ...string) *handovertest.Watch { return r.Watch(journal.Says(parts...)) }

// Line waits for the line of a watch. Otherwise says what it means that none comes.
func (r *Run) Line(w *handovertest.Watch, otherwise ...any) string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.Ctx, r.patience.Line)
	defer cancel()
	line, err := w.Line(ctx)
	if err != nil {
		r.t.Fatal(append(otherwise, err)...)
	}
	return line
}

// Eventually waits for what no event tells of.
func (r *Run) Eventually(what string, holds func() (seen any, ok bool)) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.Ctx, r.patience.Look)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		seen, ok := holds()
		if ok {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			r.t.Fatalf("%v, want %s", seen, what)
		}
	}
}

// Next upgrades the service, and returns the process that serves afterwards, as the one before begins to leave.
func (r *Run) Next() (pid int) {
	r.t.Helper()
	left := r.WatchFor(`msg="handover final"`)
	r.Upgrade(1)
	r.Line(left, "the generation before does not leave")
	return r.PID()
}

// Replaced upgrades the service, and returns the process that has everything of the one before, which has ended.
func (r *Run) Replaced() (pid int) {
	r.t.Helper()
	before := r.PID()
	pid = r.Next()
	r.AwaitExit(before)
	return pid
}

// Answers waits for n more good answers to the load.
func (r *Run) Answers(n int) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.Ctx, r.patience.Line)
	defer cancel()
	if err := r.Driver.WaitAnswers(ctx, n); err != nil {
		r.t.Fatal("nobody answers", err)
	}
}

// AssertServes checks that the process answers, with nothing lost until now if there is a load.
func (r *Run) AssertServes(pid int) {
	r.t.Helper()
	if got := r.PID(); got != pid {
		r.t.Errorf("process %d answers, want %d", got, pid)
	}
	if r.Driver != nil {
		r.Answers(20)
		handovertest.AssertNothingLost(r.t, r.Driver.Snapshot())
	}
}

// AssertNobodyLeft waits until every process of the service has ended.
func (r *Run) AssertNobodyLeft() {
	r.t.Helper()
	r.Eventually("nobody", func() (any, bool) {
		family := r.Family()
		return family, len(family) == 0
	})
}

// Finish ends the load, of which nothing may be lost.
func (r *Run) Finish() handovertest.Report {
	r.t.Helper()
	report := r.Driver.Stop()
	handovertest.AssertNothingLost(r.t, report)
	return report
}
