package lifecycle

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/test/internal/control"
	"github.com/handover-go/handover/test/internal/journal"
	"github.com/handover-go/handover/test/internal/rig"
)

// byHand is how a person starts another process of the service: with its environment, and its output.
type byHand struct {
	r      *run
	env    []string
	output *os.File
}

// hand holds the output of the service open, so that it outlives every process.
func (r *run) hand() *byHand {
	r.t.Helper()
	pid := itoa(r.PID())
	environ, err := os.ReadFile(filepath.Join("/proc", pid, "environ"))
	must(r.t, err)
	output, err := os.OpenFile(filepath.Join("/proc", pid, "fd", "2"), os.O_WRONLY, 0)
	must(r.t, err)
	r.t.Cleanup(func() { output.Close() })
	return &byHand{r, strings.Split(strings.TrimRight(string(environ), "\x00"), "\x00"), output}
}

// start has a shell start an executable, and leaves it to itself.
func (h *byHand) start(executable string) {
	h.r.t.Helper()
	shell := exec.CommandContext(h.r.Ctx, "sh", "-c", `"$0" &`, executable)
	shell.Env, shell.Stdout, shell.Stderr = h.env, h.output, h.output
	must(h.r.t, shell.Run())
}

// fails runs an executable that is to end by itself, and returns what it says.
func (h *byHand) fails(executable string, env ...string) string {
	h.r.t.Helper()
	return fails(h.r.t, h.r.Ctx, executable, append(h.env, env...))
}

func fails(t *testing.T, ctx context.Context, executable string, env []string) string {
	t.Helper()
	cmd := exec.CommandContext(ctx, executable)
	cmd.Env = env
	said, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("it ended with %v, want exit status 1:\n%s", err, said)
	}
	return string(said)
}

// wantEnd checks why a process says that it ended.
func wantEnd(t *testing.T, said, why string) {
	t.Helper()
	for line := range strings.Lines(said) {
		if strings.Contains(line, ended) && strings.Contains(journal.Attribute(line, "error"), why) {
			return
		}
	}
	t.Errorf("it says:\n%s\nwant %s, with %q for its error", said, ended, why)
}

func TestProcessStartedByHandJoinsAndNothingIsLost(t *testing.T) {
	t.Parallel()
	r := named(t).drive()
	hand := r.hand()
	for i := range 5 {
		before := r.PID()
		joined, final := r.WatchFor(`msg="handover begins: a process joined"`), r.WatchFor(succeeded)
		hand.start(r.Path())
		successor := journal.Number(t, r.Line(joined), "pid")
		if line := r.Line(final); !strings.Contains(line, journal.By(successor)) || journal.Number(t, line, "generation") != i+2 {
			t.Errorf("%q, want generation %d in process %d", line, i+2, successor)
		}
		r.AwaitExit(before)
		r.AssertServes(successor)
		r.assertAlone(successor)
	}
	r.upgrades() // one that joined starts its own successor
	r.Finish()
}

func TestThirdProcessIsTurnedAwayWhileOneJoins(t *testing.T) {
	t.Parallel()
	r := named(t, "HANDOVER_READY_TIMEOUT=4s").drive()
	incumbent, hand := r.PID(), r.hand()
	adopts, outcome := r.WatchFor("to=preparing"), r.outcome()
	hand.start(rig.Build(t, "hang"))
	r.Line(adopts)
	wantEnd(t, hand.fails(r.Path()), "a handover is under way: attempt 1")
	wantReason(t, r.Line(outcome), aborted, "the successor was not ready in time")
	r.AssertServes(incumbent)
	r.assertAlone(incumbent)
	r.upgrades()
	r.Finish()
}

// TestProcessThatListensElsewhereIsDenied has another program use the service's name.
func TestProcessThatListensElsewhereIsDenied(t *testing.T) {
	t.Parallel()
	r := named(t).drive()
	incumbent, hand, outcome := r.PID(), r.hand(), r.outcome()
	wantEnd(t, hand.fails(rig.Build(t, "elsewhere")), `denied: the process that joined listens nowhere that "shop" does`)
	wantReason(t, r.Line(outcome), aborted, `denied: the process that joined listens nowhere that "shop" does`)
	r.AssertServes(incumbent)
	r.assertAlone(incumbent)
	r.upgrades()
	r.Finish()
}

// TestSocketOfADeadProcessIsNotMistakenForAService kills the only generation: its socket file stays, and nobody answers there.
func TestSocketOfADeadProcessIsNotMistakenForAService(t *testing.T) {
	t.Parallel()
	r := named(t)
	hand := r.hand()
	r.Kill(r.PID())
	if _, err := os.Stat(r.takeover); err != nil {
		t.Fatalf("there is no stale socket: %v", err)
	}
	serves := r.WatchFor("msg=serving ")
	hand.start(r.Path())
	pid := journal.Number(t, r.Line(serves), "pid")
	r.AssertServes(pid)
	r.assertTakeoverIs(pid)
	r.upgrades()
	r.assertTakeoverIs(r.PID())
}

// assertTakeoverIs waits until the process answers at the takeover socket: it opens it while it serves already.
func (r *run) assertTakeoverIs(pid int) {
	r.t.Helper()
	r.Eventually("a takeover socket of process "+itoa(pid), func() (any, bool) {
		c, err := net.Dial("unix", r.takeover)
		if err != nil {
			return err, false
		}
		defer c.Close()
		must(r.t, c.SetDeadline(time.Now().Add(patience)))
		client, err := greet(c.(*net.UnixConn))
		if err != nil {
			return err, false
		}
		reply, err := client.ask(&wire.Status{})
		must(r.t, err)
		return fmt.Sprintf("%+v", reply.Status), client.server == pid && reply.Status.PID == pid
	})
}

// TestTwoFirstStartsAtOnceLeaveOneService starts two processes where no service is: one serves, and the other joins it, or
// says that the address is taken.
func TestTwoFirstStartsAtOnceLeaveOneService(t *testing.T) {
	t.Parallel()
	r := named(t)
	hand := r.hand()
	for range 5 {
		r.KillAll()
		first := r.WatchFor("msg=serving ")
		second := r.Watch(func(line string) bool {
			return strings.Contains(line, succeeded) || strings.Contains(line, ended) && strings.Contains(journal.Attribute(line, "error"), "address already in use")
		})
		starts := exec.CommandContext(r.Ctx, "sh", "-c", `"$0" & "$0" &`, r.Path())
		starts.Env, starts.Stdout, starts.Stderr = hand.env, hand.output, hand.output
		must(t, starts.Run())
		r.Line(first)
		t.Log(r.Line(second))
		pid := r.PID()
		r.assertAlone(pid)
		r.assertTakeoverIs(pid)
	}
	r.upgrades()
}

func TestRuntimeDirectoryThatOthersCanReachIsRefused(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(control.Dir(t), "run")
	must(t, os.Mkdir(dir, 0o755))
	wantEnd(t, startsNot(t, "HANDOVER_NAME=shop", "HANDOVER_RUNTIME_DIR="+dir), fmt.Sprintf("runtime directory %q has mode 0755, not 0700: run chmod 700", dir))
}

func TestTakeoverPathThatTheKernelCannotHoldIsRefused(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(control.Dir(t), strings.Repeat("d", 100))
	wantEnd(t, startsNot(t, "HANDOVER_NAME=shop", "HANDOVER_RUNTIME_DIR="+dir), "at most 107: choose a shorter RuntimeDir or Name")
}

func TestServiceNameThatIsNoFileNameIsRefused(t *testing.T) {
	t.Parallel()
	wantEnd(t, startsNot(t, "HANDOVER_NAME=../shop"), `service name "../shop"`)
}

// startsNot runs the service in an environment in which it must not start.
func startsNot(t *testing.T, env ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return fails(t, ctx, rig.Build(t, ""), append(append(os.Environ(), "ADDR=127.0.0.1:0", "GORACE=atexit_sleep_ms=0"), env...))
}
