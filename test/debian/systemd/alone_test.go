//go:build debian

package systemd

import (
	"strconv"
	"testing"

	"github.com/handover-go/handover/handovertest"
)

func TestUpgradesByReloadLoseNothing(t *testing.T) {
	s := boot(t).install("")
	s.start()
	load := s.drive()
	upgrades := count(5, 20)
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
	s := boot(t).install("")
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
	s := boot(t).install("")
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

	// systemd keeps the first result other than success, although the service goes on: so it ends in good order, as failed.
	s.run("systemctl", "stop", unit)
	s.expect("ActiveState=failed", "Result=signal", "MainPID=0")
	if _, killed := s.journal.find(0, contains("with signal SIGKILL")); killed {
		t.Error("systemd killed what it had told to stop")
	}
}

// The control of the test above: the death of a main process is that of the service, unless ExitType= says otherwise.
func TestWithoutExitTypeCgroupIncumbentKilledInProbationTakesTheServiceAlong(t *testing.T) {
	s := boot(t).install("[Service]\nExitType=main\n")
	s.start()
	incumbent := s.mainPID()
	successor := s.beginUpgrade()
	s.run("kill", "-KILL", strconv.Itoa(incumbent))
	s.await("NRestarts", "1")
	s.await("ActiveState", "active")
	if pid := s.mainPID(); pid == incumbent || pid == successor {
		t.Errorf("pid %d serves on: ExitType=cgroup is not needed", pid)
	}
	s.stop()
}

func TestExitStatusOfAGenerationThatHandedOverDoesNoHarm(t *testing.T) {
	// With ExitType=main systemd would end the service at once, if it still took the generation for the main process.
	for _, exitType := range []string{"cgroup", "main"} {
		t.Run(exitType, func(t *testing.T) {
			s := boot(t).install("[Service]\nEnvironment=STATUS=3\nExitType=" + exitType + "\n")
			s.start()
			load := s.drive()
			for range count(2, 10) {
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
	s := boot(t).install("")
	for range count(3, 20) {
		s.start()
		s.beginUpgrade()
		s.stop()
	}
	s.expect("NRestarts=0")
}

func TestCrashWhileAnotherGenerationDrainsIsRestartedByTheWatchdog(t *testing.T) {
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
