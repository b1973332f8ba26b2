//go:build debian

package systemd

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/count"
)

func TestKeptUpgradesByReloadLoseNothing(t *testing.T) {
	t.Parallel()
	k := boot(t).installKept("")
	k.start()
	keeper := k.mainPID()
	load := k.drive()
	upgrades := count.Of(5, 20)
	for range upgrades {
		load.answeredBy(k.reload())
	}
	k.expectKeeper(keeper, 0)
	report := load.stop()
	t.Log(report)
	handovertest.AssertNothingLost(t, report)
	for generation := range upgrades {
		if report.ByGeneration[generation+1] == 0 {
			t.Errorf("generation %d answered nothing", generation+1)
		}
	}
	if report.Took < 2*watchdog {
		t.Errorf("the load took %v: nothing is proven for a watchdog of %v", report.Took, watchdog)
	}
	k.stop()
}

func TestKeptSuccessorKilledInProbationFailsTheReload(t *testing.T) {
	t.Parallel()
	k := boot(t).installKept(unhurried)
	k.start()
	keeper, incumbent := k.mainPID(), k.status().PID
	load := k.drive()
	reload := k.beginReload()
	load.answeredBy(reload.successor)
	load.kill(reload.successor)
	if code, said := reload.wait(); code == 0 {
		t.Errorf("systemctl reload succeeded: %s", said)
	}
	if serving := k.status().PID; serving != incumbent {
		t.Errorf("process %d serves, not %d, which stood by", serving, incumbent)
	}
	k.expectKeeper(keeper, 0)

	load.answeredBy(k.reload())
	k.expectKeeper(keeper, 0)
	report := load.stop()
	t.Log(report)
	handovertest.AssertLostInCrashOnly(t, report)
	k.stop()
}

func TestKeptIncumbentKilledInProbationIsSucceeded(t *testing.T) {
	t.Parallel()
	k := boot(t).installKept(unhurried)
	k.start()
	keeper, incumbent := k.mainPID(), k.status().PID
	load := k.drive()
	reload := k.beginReload()
	load.answeredBy(reload.successor)
	load.kill(incumbent)
	if code, said := reload.wait(); code != 0 {
		t.Errorf("systemctl reload: exit %d: %s", code, said)
	}
	if serving := k.status().PID; serving != reload.successor {
		t.Errorf("process %d serves, not the successor %d", serving, reload.successor)
	}
	k.expectKeeper(keeper, 0)

	load.answeredBy(k.reload())
	report := load.stop()
	t.Log(report)
	handovertest.AssertLostInCrashOnly(t, report)
	k.stop()
}

// Clients wait meanwhile in the queues of the listeners, which the keeper holds.
func TestKeptServiceKilledRefusesNobody(t *testing.T) {
	t.Parallel()
	k := boot(t).installKept("")
	k.start()
	keeper := k.mainPID()
	load := k.drive()
	mark := k.journal.mark()
	load.kill(k.status().PID)
	next := k.journal.await(mark, "the next generation", contains("serving on probation"), eventTimeout)
	pid, err := strconv.Atoi(next.PID)
	if err != nil {
		t.Fatal(err)
	}
	load.answeredBy(pid)
	k.expectKeeper(keeper, 0)

	load.answeredBy(k.reload())
	report := load.stop()
	t.Log(report)
	handovertest.AssertLostInCrashOnly(t, report)
	k.stop()
}

func TestKeeperKilledIsSucceededWhileTheServiceGoesOn(t *testing.T) {
	t.Parallel()
	for signal, why := range map[string]string{
		"KILL": "status=9/KILL",
		"STOP": "Watchdog timeout", // it hangs until systemd kills it
	} {
		t.Run(signal, func(t *testing.T) {
			k := boot(t).installKept("")
			k.start()
			serving := k.reload()
			running := k.status().Keeper.Running
			load := k.drive()
			mark := k.journal.mark()
			k.run("kill", "-"+signal, strconv.Itoa(k.mainPID()))
			k.journal.await(mark, why, contains(why), eventTimeout)
			keeper := k.awaitKeeper(1)
			if pid := k.status().PID; pid != serving {
				t.Errorf("process %d serves, not %d as before", pid, serving)
			}
			load.answeredBy(serving)
			k.awaitKept(running) // what a restart would start
			k.deploy("none")     // another build, as good as the first
			load.answeredBy(k.reload())
			k.handover("rollback", "my-service")
			load.answeredBy(k.status().PID)
			k.expectKeeper(keeper, 1)
			handovertest.AssertNothingLost(t, load.stop())
			k.stop()
		})
	}
}

// What the next keeper needs to take the service over, each setting alone.
func TestKeeperKilledTakesTheServiceAlongWithoutTheSettingsOfTheUnit(t *testing.T) {
	t.Parallel()
	for _, setting := range []string{"KillMode=control-group", "KillMode=mixed"} {
		t.Run(setting, func(t *testing.T) {
			k := boot(t).installKept("[Service]\n" + setting + "\n")
			k.start()
			before := k.status().PID
			k.run("kill", "-KILL", strconv.Itoa(k.mainPID()))
			k.awaitKeeper(1)
			if after := k.status(); after.PID == before {
				t.Errorf("process %d goes on: the unit needs no KillMode=process", before)
			}
			k.stop()
		})
	}
	t.Run("RuntimeDirectoryPreserve=no", func(t *testing.T) {
		k := boot(t).installKept("[Service]\nRuntimeDirectoryPreserve=no\nRestartSec=1s\n")
		k.start()
		mark := k.journal.mark()
		k.run("kill", "-KILL", strconv.Itoa(k.mainPID()))
		k.journal.await(mark, "in use", contains("address already in use"), eventTimeout)
	})
	t.Run("Restart=no", func(t *testing.T) {
		k := boot(t).installKept("[Service]\nRestart=no\n")
		k.start()
		before := k.status().PID
		k.run("kill", "-KILL", strconv.Itoa(k.mainPID()))
		k.await("ActiveState", "failed")
		if after := k.status(); after.PID != before || after.Keeper.PID != 0 {
			t.Errorf("the service does not go on without a keeper: %+v", after)
		}
		k.handover("stop", "my-service") // a generation without a keeper hears it too
	})
}

func TestTemporaryFilesOutliveTheKeeper(t *testing.T) {
	t.Parallel()
	for name, more := range map[string]string{
		"with the settings of the unit": "",
		"not with PrivateTmp=yes":       "TemporaryFileSystem=\nPrivateTmp=yes\n",
	} {
		t.Run(name, func(t *testing.T) {
			k := boot(t).installKept("[Service]\n" + more)
			k.start()
			file := filepath.Join("/proc", strconv.Itoa(k.status().PID), "root", "tmp", "file") // as the service sees it
			k.run("touch", file)
			k.run("kill", "-KILL", strconv.Itoa(k.mainPID()))
			k.awaitKeeper(1)
			if code, said := k.begin("ls", file)(); (code == 0) != (more == "") {
				t.Errorf("exit %d: %s", code, said)
			}
			k.stop()
		})
	}
}

func TestKeeperReplacedInPlaceStaysTheMainProcess(t *testing.T) {
	t.Parallel()
	k := boot(t).installKept("")
	k.start()
	keeper, serving := k.mainPID(), k.status().PID
	load := k.drive()
	for range count.Of(2, 10) {
		k.handover("upgrade", "--keeper", "my-service")
	}
	if pid := k.status().PID; pid != serving {
		t.Errorf("process %d serves, not %d as before", pid, serving)
	}
	load.answeredBy(k.reload())
	k.expectKeeper(keeper, 0)
	report := load.stop()
	handovertest.AssertNothingLost(t, report)
	if report.Took < 2*watchdog {
		t.Errorf("the load took %v: nothing is proven for a watchdog of %v", report.Took, watchdog)
	}
	k.stop()
}

func TestBadBuildFailsTheReloadAndNothingElse(t *testing.T) {
	t.Parallel()
	k := boot(t).installKept("")
	k.start()
	keeper, serving := k.mainPID(), k.status().PID
	load := k.drive()
	for _, flaw := range []string{"exit", "unhealthy"} {
		k.deploy(flaw)
		if code, said := k.begin("systemctl", "reload", unit)(); code == 0 {
			t.Errorf("%s: systemctl reload succeeded: %s", flaw, said)
		}
		if pid := k.status().PID; pid != serving {
			t.Errorf("%s: process %d serves, not %d as before", flaw, pid, serving)
		}
	}
	k.write("/usr/local/bin/garbage", []byte("no program"), 0o755)
	k.run("mv", "/usr/local/bin/garbage", "/usr/local/bin/my-service")
	if code, said := k.begin("systemctl", "reload", unit)(); code == 0 {
		t.Errorf("garbage: systemctl reload succeeded: %s", said)
	}
	k.expectKeeper(keeper, 0)
	k.deploy("")
	load.answeredBy(k.reload())
	handovertest.AssertNothingLost(t, load.stop())
	k.stop()
}

// What is executed then lies in the directory that StateDirectory= makes.
func TestRollbackUnderSystemdStartsTheBuildBefore(t *testing.T) {
	t.Parallel()
	k := boot(t).installKept("")
	k.start()
	first := k.status().Keeper.Running
	k.deploy("none") // another build, as good as the first
	k.reload()
	if now := k.status().Keeper; now.Running == first || now.Previous != first {
		t.Fatalf("running %q, previous %q, at first %q", now.Running, now.Previous, first)
	}
	load := k.drive()
	k.handover("rollback", "my-service")
	after := k.status()
	load.answeredBy(after.PID)
	if after.Keeper.Running != first {
		t.Errorf("running %q, not %q", after.Keeper.Running, first)
	}
	handovertest.AssertNothingLost(t, load.stop())
	k.stop()
}

// A second request to end would shorten the time that they have to 5 seconds.
func TestStopOfTheUnitAnswersRequestsInFlight(t *testing.T) {
	t.Parallel()
	k := boot(t).installKept("")
	k.start()
	answer := k.ask("/slow?ms=8000&id=long")
	k.stop()
	if said := answer(); !strings.Contains(said, "200 OK") || !strings.Contains(said, "long ") {
		t.Errorf("the request in flight was answered with %q", said)
	}
	k.expectNothingLeft()
}

// systemd holds the end of the reload, which it cuts short itself, against the unit.
func TestStopDuringAReloadEndsBothGenerations(t *testing.T) {
	t.Parallel()
	k := boot(t).installKept(unhurried)
	for range count.Of(2, 10) {
		k.start()
		answer := k.ask("/slow?ms=8000&id=long")
		reload := k.beginReload()
		mark := k.journal.mark()
		k.run("systemctl", "stop", unit)
		if code, said := reload.wait(); code == 0 {
			t.Errorf("the reload succeeded: %s", said)
		}
		if said := answer(); !strings.Contains(said, "200 OK") {
			t.Errorf("the request in flight was answered with %q", said)
		}
		if killed, found := k.journal.find(mark, contains("with signal SIGKILL")); found {
			t.Errorf("not by itself: %s", killed.Message)
		}
		k.expectNothingLeft()
	}
}

func (k *kept) expectNothingLeft() {
	k.t.Helper()
	if left := k.run("sh", "-c", "pidof my-service handover || true"); left != "" {
		k.t.Errorf("processes are left: %s", left)
	}
	k.expect("NRestarts=0", "MainPID=0")
}

func TestStopByTheCommandLineIsForGood(t *testing.T) {
	t.Parallel()
	k := boot(t).installKept("")
	k.start()
	mark := k.journal.mark()
	k.handover("stop", "my-service")
	k.journal.await(mark, "deactivated", contains(unit+": Deactivated successfully"), eventTimeout)
	k.expect("ActiveState=inactive", "Result=success", "NRestarts=0")
	if code, said := k.begin("handover", "--runtime-dir=/run/my-service", "status", "my-service")(); code != 3 {
		t.Errorf("status of a service that has ended: exit %d: %s", code, said)
	}
}

func TestSocketOfSystemdOutlivesTheKeeper(t *testing.T) {
	t.Parallel()
	k := boot(t).installKept("")
	k.run("systemctl", "start", socket)
	for range 2 {
		load := k.drive() // its first connection starts the keeper
		k.await("ActiveState", "active")
		load.answeredBy(k.reload())
		handovertest.AssertNothingLost(t, load.stop())
		k.stop()
	}
	load := k.drive()
	k.run("kill", "-KILL", strconv.Itoa(k.mainPID()))
	k.awaitKeeper(1)
	load.answeredBy(k.reload())
	handovertest.AssertNothingLost(t, load.stop())
	k.stop()
}
