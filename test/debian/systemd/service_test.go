//go:build debian

package systemd

import (
	"bufio"
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
)

const (
	unit   = "my-service.service"
	socket = "my-service.socket"
	units  = "../../../deploy/systemd/"
	ledger = "/var/lib/my-service-ledger"

	watchdog       = 2 * time.Second
	upgradeTimeout = 30 * time.Second
	eventTimeout   = 15 * time.Second
)

// static builds a program for the tree, whose C library is not the host's: it brings its own.
func static(t *testing.T, pkg, ldflags string) string {
	t.Helper()
	return handovertest.Build(t, pkg, "-tags=netgo,osusergo", "-ldflags=-linkmode=external -extldflags=-static "+ldflags)
}

// settings quicken the unit for tests, and let the driver see what each process accepted.
const settings = `[Service]
WatchdogSec=2s
TimeoutStopSec=20s
Environment=HANDOVER_PROBATION=1s HANDOVERTEST_LEDGER=%S/my-service-ledger GORACE=atexit_sleep_ms=0
StateDirectory=my-service-ledger
`

// unhurried is for tests that act while a successor is on probation, of which they hear through the journal.
const unhurried = "[Service]\nEnvironment=HANDOVER_PROBATION=5s\n"

// service is a unit of deploy/systemd in a machine.
type service struct{ *machine }

// install puts the unit of a service alone into the machine, with more settings, and does not start it.
func (m *machine) install(more string) *service {
	m.t.Helper()
	return m.installUnit("handover-alone", more)
}

func (m *machine) installUnit(name, more string) *service {
	m.t.Helper()
	m.copy(units+name+".service", "/etc/systemd/system/"+unit, 0o644)
	m.copy(units+name+".socket", "/etc/systemd/system/"+socket, 0o644)
	m.write("/etc/systemd/system/"+unit+".d/test.conf", []byte(settings+more), 0o644)
	m.copy(static(m.t, "./driver", ""), "/usr/local/bin/driver", 0o755)
	s := &service{m}
	s.deploy("")
	m.run("systemctl", "daemon-reload")
	return s
}

// deploy installs a build of the service, by rename, which has a flaw if one is named.
func (s *service) deploy(flaw string) {
	s.t.Helper()
	s.copy(static(s.t, "./service", "-X main.flaw="+flaw), "/usr/local/bin/my-service.new", 0o755)
	s.run("mv", "/usr/local/bin/my-service.new", "/usr/local/bin/my-service")
}

// start starts the unit; as it is of Type=notify, it serves then.
func (s *service) start() {
	s.t.Helper()
	s.run("systemctl", "start", unit)
}

// get returns a property of the unit.
func (s *service) get(property string) string {
	s.t.Helper()
	return s.run("systemctl", "show", "--value", "--property="+property, unit)
}

func (s *service) mainPID() int {
	s.t.Helper()
	pid, err := strconv.Atoi(s.get("MainPID"))
	if err != nil {
		s.t.Fatalf("MainPID: %v", err)
	}
	return pid
}

// expect compares properties of the unit, given as "Name=value".
func (s *service) expect(wanted ...string) {
	s.t.Helper()
	for _, w := range wanted {
		property, value, _ := strings.Cut(w, "=")
		if got := s.get(property); got != value {
			s.t.Errorf("%s=%s, want %s", property, got, value)
		}
	}
}

// await waits until a property has a value.
func (s *service) await(property, value string) {
	s.t.Helper()
	s.awaitOf(unit, property, func(got string) bool { return got == value })
}

// awaitOf waits until a property of a unit is as it is wanted. systemd tells changes to clients that have subscribed over D-Bus,
// and systemctl is none, so it is asked again and again.
func (m *machine) awaitOf(unit, property string, wanted func(string) bool) {
	m.t.Helper()
	deadline := time.NewTimer(eventTimeout)
	defer deadline.Stop()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		got := m.run("systemctl", "show", "--value", "--property="+property, unit)
		if wanted(got) {
			return
		}
		select {
		case <-again.C:
		case <-deadline.C:
			m.t.Fatalf("%s of %s is %s still", property, unit, got)
		}
	}
}

// upgrade has systemd reload the unit, and waits until the handover is final and systemd knows the new main process, which
// it returns.
func (s *service) upgrade() int {
	s.t.Helper()
	mark := s.journal.mark()
	s.run("systemctl", "reload", unit)
	final := s.journal.await(mark, "final", contains("serving: the handover is final"), upgradeTimeout)
	s.await("MainPID", final.PID)
	return s.mainPID()
}

// beginUpgrade reloads, and returns the successor as soon as it serves on probation.
func (s *service) beginUpgrade() (successor int) {
	s.t.Helper()
	mark := s.journal.mark()
	s.run("systemctl", "reload", "--no-block", unit)
	serving := s.journal.await(mark, "on probation", contains("serving on probation"), upgradeTimeout)
	pid, err := strconv.Atoi(serving.PID)
	if err != nil {
		s.t.Fatalf("pid of the successor: %v", err)
	}
	return pid
}

// hold has the generation that serves answer a request for as long as the machine runs.
func (s *service) hold() {
	s.t.Helper()
	client := s.command(context.Background(), "bash", "-c",
		`exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n' >&3 && exec cat <&3`)
	output, err := client.StdoutPipe()
	if err == nil {
		err = client.Start()
	}
	if err != nil {
		s.t.Fatalf("hold: %v", err)
	}
	s.whenEnded = append(s.whenEnded, func() { _ = client.Wait() })
	if line, err := bufio.NewReader(output).ReadString('\n'); err != nil {
		s.t.Fatalf("hold: %q, %v", line, err)
	}
}

// stop stops the unit, and expects that every generation ended by itself.
func (s *service) stop() {
	s.t.Helper()
	mark := s.journal.mark()
	s.run("systemctl", "stop", unit)
	s.expect("ActiveState=inactive", "Result=success", "MainPID=0")
	s.journal.await(mark, "stopped", contains("Stopped "+unit), eventTimeout)
	if killed, found := s.journal.find(mark, contains("with signal SIGKILL")); found {
		s.t.Errorf("not by itself: %s", killed.Message)
		return
	}
	s.journal.await(mark, "ended", contains("service ended"), eventTimeout)
}
