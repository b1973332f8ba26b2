package plain

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/test/internal/journal"
)

// lost holds a load to what the keeper promises, and shows what the program has lost on its own.
func lost(t *testing.T, d *handovertest.Driver) handovertest.Report {
	t.Helper()
	report := d.Stop()
	if report.Refused > 0 || report.Wrong > 0 || report.Repeated > 0 || report.OwnFaults > 0 || report.OK == 0 {
		t.Errorf("refused, wrong or repeated: %s", report.String())
	}
	t.Logf("%d requests, each on a connection of its own: %d answered, none refused, %d lost by the program itself; longest gap %s",
		report.Requests, report.OK, report.Failed+report.Closed+report.LostInCrash, report.LongestGap)
	for _, l := range report.Losses {
		t.Logf("lost: %s: %s", l.Outcome, l.Reason)
	}
	return report
}

// upgrades is how many upgrades each program has to go through.
const upgrades = 10

func upgradedUnderLoad(t *testing.T, k kept) {
	t.Parallel()
	k.flags = append(k.flags, "-settle", "300ms")
	r := start(t, k)
	d := r.drive(4)
	for n := range upgrades {
		r.Renew()
		if got := r.upgraded(); got.Generation != n+2 || got.Attempt != uint32(n+1) {
			t.Fatalf("%+v, want generation %d", got, n+2)
		}
		r.Answers(20)
		r.alone(r.status().PID)
	}
	lost(t, d)
}

func TestProgramInPythonIsUpgradedWithNobodyRefused(t *testing.T) {
	upgradedUnderLoad(t, kept{command: []string{pythonServer(t)}})
}

func TestProgramForNodeIsUpgradedWithNobodyRefused(t *testing.T) {
	upgradedUnderLoad(t, kept{command: []string{script(t, "server.js", "node", "-p", "process.execPath")}})
}

func TestProgramInGoIsUpgradedWithNobodyRefused(t *testing.T) {
	upgradedUnderLoad(t, kept{flags: []string{"-health", "/healthz", "-interval", "50ms"}})
}

func TestProgramAtAUnixSocketIsUpgradedWithNobodyRefused(t *testing.T) {
	upgradedUnderLoad(t, kept{network: "unix", flags: []string{"-health", "/healthz", "-interval", "50ms"}})
}

// TestShellThatBecomesTheProgramIsUpgraded, whether it has by the time that its keeper looks or not.
func TestShellThatBecomesTheProgramIsUpgraded(t *testing.T) {
	t.Parallel()
	fault := filepath.Join(t.TempDir(), "fault")
	must(t, os.WriteFile(fault, nil, 0o644))
	r := start(t, kept{command: []string{"/bin/sh", "-c", `exec "$0" "$@"`, tiny(t), fault}, flags: []string{"-settle", "50ms"}, env: []string{"HANDOVER_PROBATION=20ms"}})
	for range upgrades {
		r.Renew()
		r.upgraded()
	}
}

func TestKilledProgramRefusesNobody(t *testing.T) {
	t.Parallel()
	killed(start(t, kept{flags: []string{"-health", "/healthz"}}))
}

// TestReplacedKeeperSeesItsProgramDie though an earlier program of the keeper started it.
func TestReplacedKeeperSeesItsProgramDie(t *testing.T) {
	t.Parallel()
	r := start(t, kept{flags: []string{"-health", "/healthz"}})
	for range 2 {
		if reply, _ := r.upgrade(wire.Upgrade{Keeper: true}); reply.Outcome != "final" || reply.PID != r.keeper() {
			t.Fatalf("%+v, want it final, in process %d", reply, r.keeper())
		}
	}
	killed(r)
}

// killed kills the program under load: it is started again.
func killed(r *run) {
	t := r.t
	t.Helper()
	const clients = 4
	d := r.drive(clients)
	before := r.status().PID
	d.Killed(before, time.Now())
	must(t, syscall.Kill(before, syscall.SIGKILL))
	r.Eventually("another process that serves", func() (any, bool) {
		s := r.status()
		return s, s.State == "serving" && s.PID != before
	})
	must(t, d.WaitPID(r.Ctx, r.status().PID))
	r.Answers(20)
	if got := lost(t, d); got.Failed > clients {
		t.Errorf("%d requests lost by %d clients", got.Failed, clients)
	}
	if s := r.status(); s.Keeper.Restarts != 1 || s.Generation != 2 {
		t.Errorf("%+v, want generation 2 after 1 restart", s)
	}
}

func TestProgramThatServesIsKilledDuringAnUpgrade(t *testing.T) {
	t.Parallel()
	r := start(t, kept{flags: []string{"-health", "/healthz"}, env: []string{"HANDOVER_PROBATION=10m"}})
	d := r.drive(2)
	before := r.status().PID
	w := r.WatchFor("msg=ready ", "generation=2 ")
	defer w.Forget()
	killed := make(chan error, 1)
	go func() {
		_, err := w.Line(r.Ctx)
		if err == nil {
			d.Killed(before, time.Now())
			err = syscall.Kill(before, syscall.SIGKILL)
		}
		killed <- err
	}()
	reply, _ := r.upgrade(wire.Upgrade{})
	must(t, <-killed)
	if reply.Outcome != "final" || reply.Generation != 2 {
		t.Errorf("%+v, want generation 2", reply)
	}
	r.Answers(20)
	lost(t, d)
	r.alone(reply.PID)
}

func TestProgramThatDoesNotEndIsKilledAndCounted(t *testing.T) {
	t.Parallel()
	r := start(t, kept{flags: []string{"-settle", "100ms", "-drain", "200ms"}})
	r.breaks("deaf")
	r.upgraded()
	deaf := r.status().PID
	r.alone(deaf) // it has read what is wrong with it, and the one before has ended, late as it may be
	r.breaks("")
	line := r.line(func() { r.upgraded() }, `msg="killed: it has not ended in time"`, " pid="+strconv.Itoa(deaf)+" ")
	if journal.Number(t, line, "generation") != 2 {
		t.Errorf("%s: want process %d, generation 2", line, deaf)
	}
	r.alone(r.status().PID)
}
