package handovertest_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
)

func TestServiceUpgradedUnderLoadOfNewConnectionsLosesNothing(t *testing.T) {
	service := handovertest.Start(t, toy(t, "leaves"))
	load := service.Load()
	load.Clients = handovertest.Clients{New: 4}
	driver, err := handovertest.Drive(t.Context(), load)
	if err != nil {
		t.Fatal(err)
	}
	first := service.PID()
	service.Upgrade(3)
	last := service.PID()
	if err := driver.WaitPID(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	report := driver.Stop()
	handovertest.AssertNothingLost(t, report)
	if report.ByPID[first] == 0 || report.ByPID[last] == 0 || first == last {
		t.Errorf("first %d and last %d generation are not both in the report: %s", first, last, report)
	}
	alone(t, service, last)
	if n, err := handovertest.OpenFDs(last); err != nil || n == 0 {
		t.Errorf("OpenFDs: %d, %v", n, err)
	}
	service.Stop()
	if family := service.Family(); len(family) != 0 {
		t.Errorf("after Stop: %v", family)
	}
}

// alone waits until every generation that has left is reaped: by its parent, or, once that has ended, by the test.
func alone(t *testing.T, service *handovertest.Running, pid int) {
	t.Helper()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	for {
		family := service.Family()
		if len(family) == 1 && family[0].PID == pid {
			return
		}
		select {
		case <-again.C:
		case <-deadline.C:
			t.Fatalf("family is %v, want pid %d alone", family, pid)
		}
	}
}

func TestKilledProcessExplainsLossesOfItsConnectionsOnly(t *testing.T) {
	service := handovertest.Start(t, toy(t, "leaves"))
	load := service.Load()
	load.Clients = handovertest.Clients{KeepAlive: 3, Idle: 2, Slow: 2}
	driver, err := handovertest.Drive(t.Context(), load)
	if err != nil {
		t.Fatal(err)
	}
	pid := service.PID()
	driver.Killed(pid, service.Kill(pid))
	report := driver.Stop()
	// A client that is quick may connect anew before the kernel has closed the listener of the dead process.
	if report.LostInCrash != 7 || report.Failed+report.Closed > 0 {
		t.Errorf("want the 7 connections lost in the crash, and nothing else failed or closed: %s", report)
	}
	for _, l := range report.Losses {
		if l.Outcome == handovertest.Refused && l.Local != "" {
			t.Errorf("refused on a connection: %s", l)
		}
	}
}

func TestLossesWithoutALedgerAreNotExcusedByADeath(t *testing.T) {
	service := handovertest.Start(t, toy(t, "leaves"))
	load := service.Load()
	load.Clients, load.Ledger = handovertest.Clients{Idle: 3}, t.TempDir()
	driver, err := handovertest.Drive(t.Context(), load)
	if err != nil {
		t.Fatal(err)
	}
	pid := service.PID()
	driver.Killed(pid, service.Kill(pid))
	if report := driver.Stop(); report.Closed != 3 || report.LostInCrash != 0 {
		t.Errorf("want 3 closed: %s", report)
	}
}

func TestProcessLeftOverIsReportedAndKilled(t *testing.T) {
	s := toy(t, "stays")
	s.StopTimeout = 200 * time.Millisecond
	recorder := &recordingTB{TB: t}
	service := handovertest.Start(recorder, s)
	pid := service.PID()
	service.Stop()
	if want := fmt.Sprintf("pid %d", pid); len(recorder.errors) != 1 || !strings.Contains(recorder.errors[0], want) {
		t.Errorf("errors %q, want one about %s", recorder.errors, want)
	}
	if family := service.Family(); len(family) != 0 {
		t.Errorf("still there: %v", family)
	}
}

func TestDataRaceInAServiceFailsTheTest(t *testing.T) {
	recorder := &recordingTB{TB: t}
	service := handovertest.Start(recorder, toy(t, "racy"))
	service.Stop()
	if len(recorder.errors) != 1 || !strings.Contains(recorder.errors[0], "data race") {
		t.Errorf("errors %q, want one about a data race", recorder.errors)
	}
}

func TestBuildIsMadeOnceAndSwappedAtomically(t *testing.T) {
	first := handovertest.Build(t, "./testdata/hello", "-ldflags=-X main.name=first")
	again := handovertest.Build(t, "./testdata/hello", "-ldflags=-X main.name=first")
	if first == again {
		t.Errorf("two calls share %s", first)
	}
	said, err := exec.Command(again).Output()
	if err != nil || string(said) != "hello, first\n" {
		t.Fatalf("%q, %v", said, err)
	}

	service := handovertest.Start(t, toy(t, "leaves"))
	before, err := os.Stat(first)
	if err != nil {
		t.Fatal(err)
	}
	service.Swap(first)
	if said, err := exec.Command(service.Path()).Output(); err != nil || string(said) != "hello, first\n" {
		t.Errorf("%q, %v", said, err)
	}
	if after, err := os.Stat(first); err != nil || !os.SameFile(before, after) {
		t.Errorf("Swap changed what it was given: %v", err)
	}
}

// recordingTB keeps the errors that a test of a test expects.
type recordingTB struct {
	testing.TB
	errors []string
}

func (r *recordingTB) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}
