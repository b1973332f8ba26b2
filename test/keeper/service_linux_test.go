// Package keeper holds a kept service to what its keeper promises: that no death of the service refuses anybody, that no death of
// the keeper costs anything, that bad builds change nothing, and that nothing is left over.
package keeper

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/control"
	"github.com/handover-go/handover/test/internal/journal"
)

func TestMain(m *testing.M) {
	if takeover := os.Getenv(strangerVariable); takeover != "" {
		stranger(takeover)
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// patience bounds everything that is waited for, in one test.
const patience = time.Minute

// full reports whether counts are to be those of a release, which are ten times the usual ones.
func full() bool { return os.Getenv("HANDOVER_COUNT") == "full" }

func times(n int) int {
	if full() {
		return 10 * n
	}
	return n
}

// build returns the service, with a flaw if one is named.
func build(t *testing.T, flaw string) string {
	t.Helper()
	if flaw == "" {
		return handovertest.Build(t, "../service")
	}
	return handovertest.Build(t, "../service", "-ldflags", "-X main.flaw="+flaw)
}

// version returns the service as another build, which says its name in its log.
func version(t *testing.T, name string) string {
	t.Helper()
	return handovertest.Build(t, "../service", "-ldflags", "-X main.build="+name)
}

// kept says how a service is kept. The zero value is fine.
type kept struct {
	flags   []string // of the keeper
	env     []string
	program string // the executable of the service
	state   string // its directory of builds
	keeper  string // the executable of a keeper that takes no flags
}

// run is a service under test, and its keeper.
type run struct {
	*handovertest.Running
	t        *testing.T
	ctx      context.Context
	address  string
	program  string // path of the service's executable
	state    string
	takeover string // path of the socket
	keeper   int    // its process
	load     *handovertest.Driver
}

// crowd is a little of everything.
var crowd = handovertest.Clients{KeepAlive: 3, New: 2, Slow: 1, Upload: 1, Pipelined: 1, Dribble: 1, Idle: 1}

// start runs a kept service, and waits until its keeper knows that it serves.
func start(t *testing.T, k kept) *run {
	t.Helper()
	r := &run{t: t, address: handovertest.FreeAddress(t), program: filepath.Join(t.TempDir(), "service")}
	r.renew()
	dir := filepath.Join(runtimeDir(t), "run")
	r.takeover = filepath.Join(dir, "shop.sock")
	if r.state = k.state; r.state == "" {
		r.state = filepath.Join(t.TempDir(), "state")
	}
	if k.program == "" {
		k.program = build(t, "")
	}
	r.swap(k.program)
	args := r.flags(k.flags...)
	if k.keeper == "" {
		k.keeper = handovertest.Build(t, "./keep")
	} else {
		args = []string{r.program}
		r.takeover = filepath.Join(dir, "service.sock")
	}
	r.Running = handovertest.Start(t, handovertest.Service{
		Path: k.keeper, Address: r.address, Args: args,
		Env: append([]string{
			"ADDR=" + r.address, "HANDOVER_RUNTIME_DIR=" + dir, "HANDOVER_PROBATION=100ms", "HANDOVER_CHECK_INTERVAL=50ms",
			"HANDOVER_DRAIN_TIMEOUT=20s",
			// A program with the race detector rests for a second after its end, while its other threads go on.
			"GORACE=atexit_sleep_ms=0",
		}, k.env...),
	})
	r.settled()
	return r
}

// renew begins patience anew.
func (r *run) renew() {
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	r.t.Cleanup(cancel)
	r.ctx = ctx
}

// flags are those of a keeper of this service, and the service.
func (r *run) flags(more ...string) []string {
	return append(append([]string{"-name", "shop", "-state", r.state}, more...), r.program)
}

// settled waits until a keeper lives, and knows that the service serves.
func (r *run) settled() {
	r.t.Helper()
	r.eventually("a keeper whose service serves", func() (any, bool) {
		reply, err := control.Ask(r.takeover, status, patience, nil)
		if err != nil || reply.Status == nil || reply.Status.Keeper == nil {
			return fmt.Sprint(reply, err), false
		}
		r.keeper = reply.Status.Keeper.PID
		return reply.Status, reply.Status.State == "serving"
	})
}

// swap puts another build at the service's path, atomically.
func (r *run) swap(executable string) {
	r.t.Helper()
	content, err := os.ReadFile(executable)
	must(r.t, err)
	replace(r.t, r.program, content, 0o755)
}

// drive puts the service under load.
func (r *run) drive() *run {
	r.t.Helper()
	load := r.Load()
	load.Clients = crowd
	load.Quiet = [2]time.Duration{time.Second, 2 * time.Second}
	var err error
	if r.load, err = handovertest.Drive(r.t.Context(), load); err != nil {
		r.t.Fatal(err)
	}
	return r
}

// Messages that tests wait for: of the keeper, and of the library.
const (
	launched = `msg="the successor is started"`
	over     = `msg="the handover has ended"`
	again    = `msg="the service is started again"`
	runs     = `msg="the service is started"`
	up       = `msg=serving build=keeper `
	known    = `msg="the service goes on under this keeper"`
	noKeeper = `msg="no keeper"`
	left     = `msg="kept no longer"`

	proving   = `msg="serving on probation"`
	alone     = `msg="the keeper is gone: the service goes on without it"`
	succeeded = `msg="serving: the handover is final"`
	aborted   = `msg="handover aborted: this generation serves on"`
	resumed   = `msg="successor taken back: this generation serves again"`
	orphaned  = `msg="the incumbent died: this generation serves"`
)

// line waits for the line of a watch.
func (r *run) line(w *handovertest.Watch) string {
	r.t.Helper()
	line, err := w.Line(r.ctx)
	if err != nil {
		r.t.Fatalf("%v\n%s", err, r.Output(80))
	}
	return line
}

// upgrade asks the keeper for a handover by signal, and returns the line by which it says how that ended.
func (r *run) upgrade() string {
	r.t.Helper()
	w := r.Watch(journal.Says(over))
	r.Signal(r.keeper, syscall.SIGUSR2)
	return r.line(w)
}

// wantFinal checks that a handover is final, and who serves then.
func (r *run) wantFinal(line string) {
	r.t.Helper()
	if journal.Attribute(line, "outcome") != "final" || journal.Number(r.t, line, "pid") != r.PID() {
		r.t.Fatalf("process %d answers, and the keeper says:\n%s\nwant it final", r.PID(), line)
	}
}

// upgrades checks that a good build upgrades the service straight away, and is alone with its keeper in the end.
func (r *run) upgrades() {
	r.t.Helper()
	r.swap(build(r.t, ""))
	r.wantFinal(r.upgrade())
	r.assertAlone()
}

// assertServes checks that the process answers, with nothing lost until now.
func (r *run) assertServes(pid int) {
	r.t.Helper()
	if got := r.PID(); got != pid {
		r.t.Errorf("process %d answers, want %d", got, pid)
	}
	if r.load != nil {
		r.answers()
		handovertest.AssertNothingLost(r.t, r.load.Snapshot())
	}
}

// answers waits until the load goes on.
func (r *run) answers() {
	r.t.Helper()
	if err := r.load.WaitAnswers(r.ctx, 20); err != nil {
		r.t.Fatalf("%v\n%s", err, r.Output(80))
	}
}

// finish ends the load, of which nothing may be lost.
func (r *run) finish() handovertest.Report {
	r.t.Helper()
	report := r.load.Stop()
	handovertest.AssertNothingLost(r.t, report)
	return report
}

// finishAfterCrash ends the load, of which nothing may be lost but what the killed had accepted.
func (r *run) finishAfterCrash() handovertest.Report {
	r.t.Helper()
	report := r.load.Stop()
	handovertest.AssertLostInCrashOnly(r.t, report)
	return report
}

// kill kills a generation under load.
func (r *run) kill(pid int) time.Time {
	r.t.Helper()
	at := r.Kill(pid)
	if r.load != nil {
		r.load.Killed(pid, at)
	}
	return at
}

// assertAlone waits until the generation that serves is alone with its keeper, and every other process is reaped.
func (r *run) assertAlone() {
	r.t.Helper()
	pid := r.PID()
	r.eventually(fmt.Sprintf("process %d alone with keeper %d", pid, r.keeper), func() (any, bool) {
		family := r.Family()
		others := slices.DeleteFunc(slices.Clone(family), func(p handovertest.Process) bool { return p.PID == pid || p.PID == r.keeper })
		return family, len(others) == 0
	})
}

// assertNobodyLeft waits until every process has ended.
func (r *run) assertNobodyLeft() {
	r.t.Helper()
	r.eventually("nobody", func() (any, bool) {
		family := r.Family()
		return family, len(family) == 0
	})
}

// assertEnded waits for the end of the keeper, and checks its exit code, as it says it.
func (r *run) assertEnded(w *handovertest.Watch, code int, why string) {
	r.t.Helper()
	line := r.line(w)
	if journal.Number(r.t, line, "code") != code || !strings.Contains(journal.Attribute(line, "error"), why) {
		r.t.Errorf("the keeper says:\n%s\nwant code %d, and %q for its error", line, code, why)
	}
	r.assertNobodyLeft()
}

// another starts a keeper beside the first or after it, with the environment of the service, and leaves it to itself.
func (r *run) another(flags ...string) {
	r.t.Helper()
	pid := strconv.Itoa(r.PID())
	r.byHand(pid, append([]string{r.Path()}, r.flags(flags...)...)...)
}

// byHand runs a command as a person would, with the environment and the output of process pid.
func (r *run) byHand(pid string, command ...string) {
	r.t.Helper()
	environ, err := os.ReadFile(filepath.Join("/proc", pid, "environ"))
	must(r.t, err)
	output, err := os.OpenFile(filepath.Join("/proc", pid, "fd", "2"), os.O_WRONLY, 0)
	must(r.t, err)
	defer output.Close()
	shell := exec.CommandContext(r.ctx, "sh", append([]string{"-c", `"$0" "$@" &`}, command...)...)
	shell.Env = slices.DeleteFunc(strings.Split(strings.TrimRight(string(environ), "\x00"), "\x00"), func(v string) bool {
		return strings.HasPrefix(v, "HANDOVER_LINK=") || strings.HasPrefix(v, "HANDOVER_KEEPER=")
	})
	shell.Stdout, shell.Stderr = output, output
	must(r.t, shell.Run())
}

// eventually waits for what no event tells of.
func (r *run) eventually(what string, holds func() (seen any, ok bool)) {
	r.t.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	for {
		seen, ok := holds()
		if ok {
			return
		}
		select {
		case <-look.C:
		case <-deadline.C:
			output := ""
			if r.Running != nil {
				output = r.Output(80)
			}
			r.t.Fatalf("%v, want %s\n%s", seen, what, output)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// runtimeDir returns a path for takeover sockets that is short enough for them.
func runtimeDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "run-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// replace puts a file at path, atomically.
func replace(t *testing.T, path string, content []byte, mode os.FileMode) {
	t.Helper()
	write(t, path+".next", content, mode)
	must(t, os.Rename(path+".next", path))
}

// write holds off forks while the file is open: a child between fork and exec would hold it too, and it could not be executed
// (golang/go#22315).
func write(t *testing.T, path string, content []byte, mode os.FileMode) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	must(t, os.WriteFile(path, content, mode))
}
