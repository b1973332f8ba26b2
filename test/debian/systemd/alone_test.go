//go:build debian

package systemd

import (
	"strconv"
	"testing"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/count"
)

func TestUpgradesByReloadLoseNothing(t *testing.T) {
	t.Parallel()
	s := boot(t).install("")
	s.start()
	load := s.drive()
	upgrades := count.Of(5, 20)
	for range upgrades {
		load.answeredBy(s.upgrade())
	}
	s.expect("NRestarts=0", "ActiveState=active", "SubState=running")
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
	s.stop()
}

func TestSuccessorKilledInProbationIsTakenBack(t *testing.T) {
	t.Parallel()
	s := boot(t).install(unhurried)
	s.start()
	incumbent := s.mainPID()
	load := s.drive()
	successor := s.beginUpgrade()
	load.answeredBy(successor)
	mark := s.journal.mark()
	load.kill(successor)
	s.journal.await(mark, "taken back", contains("successor taken back: this generation serves again"), eventTimeout)
	s.await("SubState", "running") // as long as a handover goes on, it is "reload"
	s.expect("NRestarts=0", "ActiveState=active", "MainPID="+strconv.Itoa(incumbent))

	load.answeredBy(s.upgrade())
	s.expect("NRestarts=0", "ActiveState=active")
	report := load.stop()
	t.Log(report)
	handovertest.AssertLostInCrashOnly(t, report)
	s.stop()
}

func TestIncumbentKilledInProbationIsSucceededWithoutARestart(t *testing.T) {
	t.Parallel()
	s := boot(t).install(unhurried)
	s.start()
	incumbent := s.mainPID()
	load := s.drive()
	successor := s.beginUpgrade()
	load.answeredBy(successor)
	load.kill(incumbent)
	s.await("MainPID", strconv.Itoa(successor))
	s.await("SubState", "running")
	s.expect("NRestarts=0", "ActiveState=active")

	load.answeredBy(s.upgrade())
	s.expect("NRestarts=0", "ActiveState=active")
	report := load.stop()
	t.Log(report)
	handovertest.AssertLostInCrashOnly(t, report)
	s.stop()
}

// A successor that says who it is before systemd has noticed the incumbent's death is safe with any settings. So this one is
// kept from it until systemd has.
func TestIncumbentKilledBeforeItsSuccessorCanSayItServes(t *testing.T) {
	t.Parallel()
	settings := map[string]string{
		"is succeeded with the settings of the unit":   "",
		"takes the service along with ExitType=main":   "ExitType=main\nRestartSec=1s\n",
		"takes the service along if its status counts": "ExecStart=\nExecStart=/usr/local/bin/my-service\nRestartSec=1s\n",
	}
	for name, more := range settings {
		t.Run(name, func(t *testing.T) {
			s := boot(t).install(unhurried + more)
			s.start()
			incumbent, successor := s.mainPID(), s.beginUpgrade()
			s.run("kill", "-STOP", strconv.Itoa(successor))
			s.run("kill", "-KILL", strconv.Itoa(incumbent))
			s.await("MainPID", "0")
			if more == "" { // else systemd ends it, and wakes it for that
				s.run("kill", "-CONT", strconv.Itoa(successor))
				s.await("MainPID", strconv.Itoa(successor))
				s.await("SubState", "running")
				s.upgrade()
				s.expect("NRestarts=0", "ActiveState=active", "Result=success")
			} else {
				s.await("NRestarts", "1")
				s.await("ActiveState", "active")
			}
			s.stop()
		})
	}
}

func TestExitStatusOfAGenerationThatHandedOverDoesNoHarm(t *testing.T) {
	t.Parallel()
	// The unit has systemd overlook the status. Here it counts, and with ExitType=main the end of the main process would be
	// that of the service.
	for _, exitType := range []string{"cgroup", "main"} {
		t.Run(exitType, func(t *testing.T) {
			s := boot(t).install("[Service]\nEnvironment=STATUS=3\nExitType=" + exitType + "\nExecStart=\nExecStart=/usr/local/bin/my-service\n")
			s.start()
			load := s.drive()
			for range count.Of(2, 10) {
				mark := s.journal.mark()
				load.answeredBy(s.upgrade())
				s.journal.await(mark, "gone", contains("draining generation is gone"), eventTimeout)
			}
			s.expect("NRestarts=0", "ActiveState=active", "SubState=running", "Result=success", "ExecMainStatus=0")
			handovertest.AssertNothingLost(t, load.stop())
		})
	}
}

// Of two generations that are told to stop at the same time, neither takes the service from the other.
func TestStopInProbationEndsBothGenerations(t *testing.T) {
	t.Parallel()
	s := boot(t).install("")
	for range count.Of(3, 20) {
		s.start()
		s.beginUpgrade()
		s.stop()
	}
	s.expect("NRestarts=0")
}

func TestCrashWhileAnotherGenerationDrainsIsRestartedByTheWatchdog(t *testing.T) {
	t.Parallel()
	s := boot(t).install("")
	s.start()
	s.hold()
	serving := s.upgrade()
	mark := s.journal.mark()
	s.run("kill", "-KILL", strconv.Itoa(serving))
	s.journal.await(mark, "watchdog", contains("Watchdog timeout"), eventTimeout)
	s.await("NRestarts", "1")
	s.await("ActiveState", "active")
	load := s.drive()
	load.answeredBy(s.mainPID())
	handovertest.AssertNothingLost(t, load.stop())
	s.stop()
}
