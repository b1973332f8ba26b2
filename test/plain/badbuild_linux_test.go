package plain

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/test/internal/journal"
)

func TestBadBuildsLeaveTheProgramThatServesUntouched(t *testing.T) {
	t.Parallel()
	r := start(t, kept{
		flags: []string{"-health", "/healthz", "-interval", "50ms", "-drain", "1s"}, env: []string{"HANDOVER_READY_TIMEOUT=5s"},
	})
	d := r.drive(2)
	r.breaks("exit")
	r.stays(wire.Upgrade{}, "aborted", wire.CodeFailed, "exit status 1")
	r.breaks("hangs")
	r.stays(wire.Upgrade{}, "aborted", wire.CodeDeadline, "not ready within 5s", "answered by")
	r.breaks("")
	file := filepath.Join(t.TempDir(), "server")
	must(t, os.WriteFile(file, []byte("#!/bin/sh\n"), 0o644))
	r.stays(wire.Upgrade{Binary: file}, "aborted", wire.CodeVerification)
	must(t, os.WriteFile(file, []byte("not a program"), 0o755))
	must(t, os.Chmod(file, 0o755))
	r.stays(wire.Upgrade{Binary: file}, "aborted", wire.CodeVerification)
	if report := lost(t, d); report.Failed+report.Closed > 0 {
		t.Errorf("lost: %s", report.String())
	}
	if got := r.upgraded(); got.Generation != 2 {
		t.Errorf("%+v: a number of a generation was used by an upgrade that was aborted", got)
	}
}

func TestUnhealthyBuildIsEnded(t *testing.T) {
	t.Parallel()
	r := start(t, kept{flags: []string{"-health", "/healthz", "-interval", "50ms"}, env: []string{"HANDOVER_READY_TIMEOUT=5s"}})
	d := r.drive(2)
	r.breaks("unwell")
	r.stays(wire.Upgrade{}, "aborted", wire.CodeDeadline, "not ready within 5s", "status 503")
	lost(t, d) // which may be what the bad build had accepted
}

func TestFirstProgramThatIsNotReadyIsStartedAgain(t *testing.T) {
	t.Parallel()
	r := start(t, kept{fault: "unwell once", flags: []string{"-health", "/healthz", "-interval", "50ms"}, env: []string{"HANDOVER_READY_TIMEOUT=5s"}})
	if s := r.status(); s.Keeper.Restarts != 1 || s.Generation != 1 {
		t.Errorf("%+v, want generation 1 after 1 restart", s)
	}
	r.alone(r.status().PID)
}

func TestBuildThatDiesInProbationIsTakenBack(t *testing.T) {
	t.Parallel()
	r := start(t, kept{flags: []string{"-settle", "1m"}, env: []string{"HANDOVER_PROBATION=10m"}, fault: "says"})
	d := r.drive(2)
	r.breaks("late")
	ready := r.WatchFor("msg=ready ", "generation=2 ")
	defer ready.Forget()
	told := make(chan error, 1)
	go func() {
		defer close(told)
		line, err := ready.Line(r.Ctx)
		if err == nil {
			err = syscall.Kill(journal.Number(t, line, "pid"), syscall.SIGUSR1)
		}
		told <- err
	}()
	r.stays(wire.Upgrade{}, "resumed", wire.CodeFailed, "exit status 3")
	must(t, <-told)
	lost(t, d)
}

func TestBuildThatSaysReadyAndIsUnhealthyIsTakenBack(t *testing.T) {
	t.Parallel()
	r := start(t, kept{flags: []string{"-health", "/healthz", "-interval", "20ms"}, env: []string{"HANDOVER_PROBATION=10m"}})
	d := r.drive(2)
	r.breaks("says so, unwell")
	r.stays(wire.Upgrade{}, "resumed", wire.CodeFailed, "3 checks failed in a row", "status 503")
	lost(t, d)
}
