package observe_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/host/observe"
)

func shell(script string) observe.Exec {
	return observe.Exec{Name: "x", Argv: []string{"sh", "-c", script}, Timeout: patience}
}

func TestExecPassesByExitStatus(t *testing.T) {
	t.Setenv("HANDOVER_NAME", "shop")
	well(t, shell("echo fine"), true, "fine")
	well(t, shell("echo out; echo err >&2; exit 3"), false, "run sh: exit status 3: out err")
	well(t, shell(`test -z "$HANDOVER_NAME" && test -n "$PATH"`), true, "")
	in := shell(`echo "$A in $PWD"`)
	in.Dir, in.Env = t.TempDir(), []string{"A=b", "PATH=" + os.Getenv("PATH")}
	well(t, in, true, "b in "+in.Dir)
	within := observe.Exec{Name: "x", Argv: []string{"bin/probe"}, Root: func() string { return in.Dir }}
	if err := os.Symlink("/bin/pwd", filepath.Join(in.Dir, "probe")); err != nil {
		t.Fatal(err)
	}
	well(t, within, false, "no such file")
	within.Argv = []string{"probe"}
	well(t, within, true, in.Dir)
	within.Root = func() string { return "" }
	well(t, within, false, "none is here")
	well(t, observe.Exec{Name: "x", Argv: []string{"/no/such/program"}}, false, "no such file")
}

func TestExecKeepsTheLastOfItsOutput(t *testing.T) {
	o := well(t, shell(`i=0; while [ $i -lt 2000 ]; do echo "line $i"; i=$((i+1)); done`), true, "line 1999")
	if len(o.Detail) > 4<<10 || strings.ContainsAny(o.Detail, "\n\x1b") {
		t.Errorf("%d bytes of detail", len(o.Detail))
	}
	well(t, shell(`printf 'red \033[31m \377 line'`), true, "red [31m \uFFFD line")
}

// gone waits for the death of a process that is not our child.
func gone(t *testing.T, pid int) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		state, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil || strings.Contains(string(state), ") Z ") {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("process %d lives on: %s", pid, state)
		}
	}
}

func pidIn(t *testing.T, path string) int {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func TestExecKillsItsWholeGroupAtTheDeadline(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	c := shell("sleep 1000 & echo $! > " + path + "; trap '' TERM; wait")
	c.Timeout = 2 * time.Second
	well(t, c, false, "no answer within 2s: run sh: signal: killed")
	gone(t, pidIn(t, path))
}

func TestExecLeavesNothingRunningWhenItsProgramEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	began := time.Now()
	well(t, shell("sleep 1000 & echo $! > "+path+"; echo fine"), true, "fine")
	if took := time.Since(began); took > patience/2 {
		t.Errorf("a process in the background held the check for %s", took)
	}
	gone(t, pidIn(t, path))
}

func TestExecThatHasLeftItsGroupHoldsUpNobody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	// The next process of the session writes its own number, so that the test can end it.
	well(t, shell("setsid sh -c 'echo $$ > "+path+".new; mv "+path+".new "+path+"; exec sleep 1000' & while [ ! -s "+path+" ]; do :; done; echo fine"), true, "fine")
	pid := pidIn(t, path)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Errorf("it has left the group, and yet: %v", err)
	}
	gone(t, pid)
}

func TestExecEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if o := shell("sleep 1000").Run(ctx); o.OK {
		t.Errorf("passed: %q", o.Detail)
	}
}
