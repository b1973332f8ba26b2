//go:build debian

package systemd

import (
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

const command = "github.com/handover-go/handover/host/cmd/handover"

// kept is the unit of a service under a keeper in a machine.
type kept struct{ *service }

// installKept puts the unit into the machine, with more settings, and does not start it.
func (m *machine) installKept(more string) *kept {
	m.t.Helper()
	m.copy(static(m.t, command, ""), "/usr/local/bin/handover", 0o755)
	m.run("useradd", "--system", "--user-group", "my-service")
	return &kept{m.installUnit("handover-keeper", more)}
}

// condition is what "handover status" says of a service, as far as tests look at it.
type condition struct {
	State      string
	Generation int
	PID        int
	Keeper     struct {
		PID               int
		Restarts          int
		Running, Previous string
	}
}

// status asks as root, from outside of the unit.
func (k *kept) status() (c condition) {
	k.t.Helper()
	said := k.handover("status", "-o", "json", "my-service")
	if err := json.Unmarshal([]byte(said), &c); err != nil {
		k.t.Fatalf("status: %v: %s", err, said)
	}
	return c
}

// handover runs a command of the command line as root.
func (k *kept) handover(args ...string) (said string) {
	k.t.Helper()
	return k.run(append([]string{"handover", "--runtime-dir=/run/my-service"}, args...)...)
}

// reload upgrades, and returns the process that serves when systemctl has returned.
func (k *kept) reload() int {
	k.t.Helper()
	before := k.status()
	k.run("systemctl", "reload", unit)
	after := k.status()
	if after.PID == before.PID || after.Generation <= before.Generation || after.State != "serving" {
		k.t.Fatalf("reload has returned, and the handover is not over: %+v, before it %+v", after, before)
	}
	return after.PID
}

// reloading is a reload that goes on in the background, whose successor serves on probation.
type reloading struct {
	successor int
	wait      func() (code int, said string)
}

// beginReload reloads, and returns as soon as the successor serves on probation.
func (k *kept) beginReload() reloading {
	k.t.Helper()
	mark := k.journal.mark()
	wait := k.begin("systemctl", "reload", unit)
	serving := k.journal.await(mark, "on probation", contains("serving on probation"), upgradeTimeout)
	pid, err := strconv.Atoi(serving.PID)
	if err != nil {
		k.t.Fatalf("pid of the successor: %v", err)
	}
	return reloading{pid, wait}
}

// begin starts a command inside. wait returns its exit code and what it said.
func (m *machine) begin(args ...string) (wait func() (code int, said string)) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	type end struct {
		said []byte
		err  error
	}
	ended := make(chan end, 1)
	go func() {
		defer cancel()
		said, err := m.command(ctx, args...).CombinedOutput()
		ended <- end{said, err}
	}()
	once := false
	wait = func() (int, string) {
		m.t.Helper()
		once = true
		e := <-ended
		var exit *exec.ExitError
		if errors.As(e.err, &exit) {
			return exit.ExitCode(), string(e.said)
		}
		if e.err != nil {
			m.t.Fatalf("%s: %v", strings.Join(args, " "), e.err)
		}
		return 0, string(e.said)
	}
	m.whenEnded = append(m.whenEnded, func() {
		if !once {
			cancel()
			<-ended
		}
	})
	return wait
}

// ask has the service answer a request. answer returns all of it, when the service has closed the connection.
func (s *service) ask(path string) (answer func() string) {
	s.t.Helper()
	mark := s.journal.mark()
	wait := s.begin("bash", "-c", `exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET `+path+` HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3 && `+
		`logger -t client "asked `+path+`" && exec cat <&3`)
	s.journal.await(mark, "asked", contains("asked "+path), eventTimeout)
	return func() string {
		s.t.Helper()
		_, said := wait()
		return said
	}
}

// expectKeeper expects that this process is the keeper, and that systemd has started so many after the first.
func (k *kept) expectKeeper(pid, restarts int) {
	k.t.Helper()
	k.await("SubState", "running") // systemd hears of it beside who asked for the upgrade
	k.expect("ActiveState=active", "SubState=running", "NRestarts="+strconv.Itoa(restarts), "MainPID="+strconv.Itoa(pid))
	if said := k.status(); said.Keeper.PID != pid {
		k.t.Errorf("status names another keeper than %d: %+v", pid, said.Keeper)
	}
}

// awaitKeeper waits until systemd has started so many keepers after the first, and returns the last one.
func (k *kept) awaitKeeper(restarts int) int {
	k.t.Helper()
	k.await("NRestarts", strconv.Itoa(restarts))
	k.await("SubState", "running")
	return k.mainPID()
}

// awaitKept waits until the keeper has a copy of the build that runs: a new one makes it while the service goes on.
func (k *kept) awaitKept(digest string) {
	k.t.Helper()
	deadline := time.NewTimer(eventTimeout)
	defer deadline.Stop()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		got := k.status().Keeper.Running
		if got == digest {
			return
		}
		select {
		case <-again.C:
		case <-deadline.C:
			k.t.Fatalf("the keeper keeps %q, not %q", got, digest)
		}
	}
}
