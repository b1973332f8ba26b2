package keeper

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/test/internal/control"
	"github.com/handover-go/handover/test/internal/executable"
	"github.com/handover-go/handover/test/internal/journal"
	"github.com/handover-go/handover/test/internal/rig"
)

// script puts a program of a shell's lines somewhere.
func script(t *testing.T, lines string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "service")
	executable.Replace(t, path, []byte("#!/bin/sh\n"+lines+"\n"), 0o755)
	return path
}

// keeps runs a keeper until it ends by itself, or is told to once it or its service has said all of until, and returns what they said and its
// exit status.
func keeps(t *testing.T, program string, until []string, flags []string, env ...string) (said string, code int) {
	t.Helper()
	dir := t.TempDir()
	args := append([]string{"-name", "shop", "-state", filepath.Join(dir, "state")}, flags...)
	cmd := exec.CommandContext(t.Context(), handovertest.Build(t, "./keep"), append(args, program)...)
	cmd.Env = append(os.Environ(), append([]string{"HANDOVER_RUNTIME_DIR=" + filepath.Join(control.Dir(t), "run"), "GORACE=atexit_sleep_ms=0", "ADDR=127.0.0.1:0"}, env...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that who is left over can be found
	output := &told{until: until, tell: func() { _ = cmd.Process.Signal(syscall.SIGTERM) }}
	cmd.Stdout, cmd.Stderr = output, output
	cmd.WaitDelay = patience // a process of the service that is left over holds the output
	must(t, cmd.Start())
	overdue := time.AfterFunc(patience, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer overdue.Stop()
	err := cmd.Wait()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Errorf("the keeper: %v\n%s", err, output)
	}
	if err := syscall.Kill(-cmd.Process.Pid, 0); err == nil {
		t.Errorf("a process is left over when the keeper has ended\n%s", output)
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	return output.String(), cmd.ProcessState.ExitCode()
}

// told collects output, and acts once when it has said something.
type told struct {
	mu    sync.Mutex
	said  bytes.Buffer
	until []string
	tell  func()
}

func (o *told) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.said.Write(p)
	missing := func(s string) bool { return !strings.Contains(o.said.String(), s) }
	if o.tell != nil && len(o.until) > 0 && !slices.ContainsFunc(o.until, missing) {
		o.tell()
		o.tell = nil
	}
	return len(p), nil
}

func (o *told) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.said.String()
}

// lines are those that contain a text.
func lines(said, text string) (found []string) {
	for line := range strings.Lines(said) {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

// TestCrashLoopIsGivenUpWithItsReason has services that die at once, before they speak and after they serve: the delay grows, and the
// keeper ends with the exit code of the last, and says why.
func TestCrashLoopIsGivenUpWithItsReason(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, program string
		code          int
		reason        string
	}{
		{"before it speaks", script(t, "exit 7"), 7, "exit status 7"},
		{"before it serves", rig.Build(t, "check"), 1, "this build does not feel well"},
		{"killed", script(t, "kill -9 $$"), 128 + 9, "killed by SIGKILL"},
		{"after it serves", rig.Build(t, "late"), 3, "exit status 3"},
		{"by ending well before it serves", script(t, "exit 0"), 1, "exit status 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			said, code := keeps(t, c.program, nil, []string{"-restarts", "4"})
			if code != c.code {
				t.Errorf("the keeper ended with %d, want %d", code, c.code)
			}
			why := lines(said, left)
			if len(why) != 1 || !strings.Contains(journal.Attribute(why[0], "error"), "given up after 4 deaths in a row") || !strings.Contains(journal.Attribute(why[0], "error"), c.reason) {
				t.Errorf("the keeper says %q, want %q", why, c.reason)
			}
			var delays []string
			for _, line := range lines(said, again) {
				delays = append(delays, journal.Attribute(line, "in"))
			}
			if got := strings.Join(delays, " "); got != "0s 100ms 200ms 400ms" {
				t.Errorf("delays %q\n%s", got, said)
			}
			// A delay is at least as long as it says.
			starts := lines(said, runs)
			for i, d := range []time.Duration{0, 100, 200, 400} {
				if got := journal.Written(t, starts[i+1]).Sub(journal.Written(t, lines(said, again)[i])); got < d*time.Millisecond-time.Millisecond {
					t.Errorf("start %d came after %s, want %s", i+2, got, d*time.Millisecond)
				}
			}
			if t.Failed() {
				t.Log(said)
			}
		})
	}
}

// TestSteadyServiceIsStartedAgainAtOnce kills a service three times: each time it had served long enough for earlier deaths to be
// forgotten.
func TestSteadyServiceIsStartedAgainAtOnce(t *testing.T) {
	t.Parallel()
	r := start(t, kept{flags: []string{"-restarts", "1", "-steady", "200ms"}})
	for range 3 {
		steady := time.NewTimer(250 * time.Millisecond)
		<-steady.C
		w := r.WatchFor(again)
		r.kill(r.PID())
		if line := r.Line(w); journal.Attribute(line, "in") != "0s" {
			t.Error(line)
		}
		r.settled()
	}
	if s := r.ask(status).Status.Keeper; s.Restarts != 3 {
		t.Errorf("status %+v, want 3 restarts", s)
	}
}

// TestServiceThatEndsByItselfEndsItsKeeper has it end well: nobody starts it again.
func TestServiceThatEndsByItselfEndsItsKeeper(t *testing.T) {
	t.Parallel()
	r := start(t, kept{})
	w := r.WatchFor(left)
	r.get("/cancel")
	r.assertEnded(w, 0, "")
}

// TestKeeperToldToEndEndsTheService answers what is in flight, and passes on how the service ends.
func TestKeeperToldToEndEndsTheService(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]func(r *run){
		"SIGTERM":                func(r *run) { r.Signal(r.keeper, syscall.SIGTERM) },
		"SIGINT":                 func(r *run) { r.Signal(r.keeper, syscall.SIGINT) },
		"at the takeover socket": func(r *run) { r.ask(&wire.Stop{}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, kept{})
			pid, busy, w := r.PID(), r.dial(), r.WatchFor(left)
			busy.Ask("/slow?id=busy&ms=500")
			r.get("/")
			stop(r)
			busy.AnswerBy(pid)
			r.assertEnded(w, 0, "")
			if _, err := os.Stat(r.takeover); !os.IsNotExist(err) {
				t.Errorf("the takeover socket is left behind: %v", err)
			}
		})
	}
}

// TestKeeperToldToEndPassesTheExitStatusOn has a service end with a status of its own.
func TestKeeperToldToEndPassesTheExitStatusOn(t *testing.T) {
	t.Parallel()
	service := rig.Build(t, "")
	program := script(t, fmt.Sprintf("trap 'kill -TERM $child; wait $child; exit 5' TERM\n%s 3<&3 4<&4 & child=$!\nwait $child", service))
	said, code := keeps(t, program, []string{up}, nil)
	if code != 5 {
		t.Errorf("the keeper ended with %d, want 5\n%s", code, said)
	}
}

// TestServiceThatDoesNotEndIsKilled has a service whose background work ignores that it is told to end.
func TestServiceThatDoesNotEndIsKilled(t *testing.T) {
	t.Parallel()
	said, _ := keeps(t, script(t, "trap '' TERM\necho deaf\nexec sleep 600"), []string{runs, "deaf"}, []string{"-stop", "500ms"})
	if len(lines(said, `msg="killed: it has not ended in time"`)) != 1 {
		t.Error(said)
	}
}

// TestKeeperToldToEndWhateverItDoes tells it when a service starts, waits to be started again, and is upgraded.
func TestKeeperToldToEndWhateverItDoes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, program, until string }{
		{"when it starts the service", rig.Build(t, "hang"), runs},
		{"when the service prepares", rig.Build(t, "hang"), "to=preparing"},
		{"when the service checks itself", rig.Build(t, "unsure"), "to=checking"},
		{"when it waits to start it again", script(t, "exit 7"), "in=1.6s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			said, _ := keeps(t, c.program, []string{c.until}, nil)
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it took %s\n%s", took, said)
			}
		})
	}
	for name, moment := range map[string]struct{ flaw, line string }{
		"when it has started the successor":         {"", launched},
		"when the successor prepares":               {"hang", "event=OFFER to=preparing"},
		"when the successor checks itself":          {"unsure", `event="Run called" to=checking`},
		"when the handover is committed":            {"", "event=IMPORTED to=committed"},
		"on probation":                              {"", "event=SERVING to=probation"},
		"when the handover is final, and it drains": {"", succeeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, kept{env: []string{"HANDOVER_PROBATION=2s", "HANDOVER_CHECK_TIMEOUT=30s"}})
			r.swap(rig.Build(t, moment.flaw))
			comes, w := r.WatchFor(moment.line), r.WatchFor(left)
			r.Signal(r.keeper, syscall.SIGUSR2)
			r.Line(comes)
			told := time.Now()
			r.Signal(r.keeper, syscall.SIGTERM)
			r.assertEnded(w, 0, "")
			if took := time.Since(told); took > 8*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}
