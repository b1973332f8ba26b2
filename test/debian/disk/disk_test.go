//go:build debian

package disk

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/test/internal/control"
	"github.com/handover-go/handover/test/internal/journal"
)

// patience bounds everything that is waited for, in one test.
const patience = 90 * time.Second

// ills are what can be wrong with a disk.
var ills = []struct {
	name   string
	befall func(*disk)
}{
	{"full", (*disk).fill}, {"without inodes", (*disk).crowd}, {"read-only", (*disk).lock},
}

// run is a service under load, whose takeover socket and builds are on a disk of its own; its executable, and the keeper's, are not.
type run struct {
	*handovertest.Running
	t       *testing.T
	ctx     context.Context
	disk    *disk
	program string // path of the service's executable
	keeper  string // executable of the keeper
	load    *handovertest.Driver
}

func build(t *testing.T, flaw string) string {
	t.Helper()
	return handovertest.Build(t, "../../service", "-ldflags", "-s -w -X main.flaw="+flaw)
}

// version is another build, as good.
func version(t *testing.T, name string) string {
	t.Helper()
	return handovertest.Build(t, "../../service", "-ldflags", "-s -w -X main.build="+name)
}

func start(t *testing.T, kept bool) *run {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	r := &run{t: t, ctx: ctx, disk: newDisk(t)}
	address := handovertest.FreeAddress(t)
	s := handovertest.Service{
		Path: build(t, ""), Address: address,
		Env: []string{
			"ADDR=" + address, "HANDOVER_NAME=shop", "HANDOVER_RUNTIME_DIR=" + filepath.Join(r.disk.path, "run"),
			"HANDOVER_PROBATION=300ms", "HANDOVER_CHECK_INTERVAL=50ms", "HANDOVER_DRAIN_TIMEOUT=20s", "GORACE=atexit_sleep_ms=0",
		},
	}
	if kept {
		r.program, r.keeper = filepath.Join(t.TempDir(), "service"), handovertest.Build(t, "../../keeper/keep", "-ldflags", "-s -w")
		r.put(s.Path)
		s.Path, s.Args = r.keeper, r.flags()
	}
	r.Running = handovertest.Start(t, s)
	if !kept {
		r.program = r.Path()
	}
	load := r.Load()
	load.Clients = handovertest.Clients{KeepAlive: 3, New: 2, Slow: 1, Upload: 1, Pipelined: 1, Idle: 1}
	var err error
	r.load, err = handovertest.Drive(ctx, load)
	must(t, err)
	return r
}

func (r *run) flags() []string {
	return []string{"-name", "shop", "-state", filepath.Join(r.disk.path, "state"), "-steady", "1ms", r.program}
}

func (r *run) takeover() string { return filepath.Join(r.disk.path, "run", "shop.sock") }

// put puts a build where the next generation is started from.
func (r *run) put(executable string) {
	r.t.Helper()
	content, err := os.ReadFile(executable)
	must(r.t, err)
	syscall.ForkLock.RLock() // golang/go#22315
	err = os.WriteFile(r.program+".next", content, 0o755)
	syscall.ForkLock.RUnlock()
	must(r.t, err)
	must(r.t, os.Rename(r.program+".next", r.program))
}

// asks asks for what, at the takeover socket, until the answer is another than that something is under way.
func (r *run) asks(what *wire.Upgrade) *wire.Reply {
	r.t.Helper()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		reply, err := control.Ask(r.takeover(), what, patience, nil)
		if err == nil && reply.Code != wire.CodeBusy && reply.Code != wire.CodeDenied {
			return reply
		}
		select {
		case <-again.C:
		case <-r.ctx.Done():
			r.t.Fatalf("no answer: %+v, %v\n%s", reply, err, r.Output(80))
		}
	}
}

func (r *run) wants(outcome string, what wire.Upgrade) {
	r.t.Helper()
	if reply := r.asks(&what); reply.Outcome != outcome {
		r.t.Errorf("%+v is answered by %+v, want it %s\n%s", what, reply, outcome, r.Output(60))
	}
}

// TestUpgradesOnAnIllDiskLoseNothing, of a service on its own: nothing is written, as the takeover socket travels.
func TestUpgradesOnAnIllDiskLoseNothing(t *testing.T) {
	for _, ill := range ills {
		t.Run(ill.name, func(t *testing.T) {
			t.Parallel()
			r := start(t, false)
			ill.befall(r.disk)
			r.wants("final", wire.Upgrade{})
			r.put(build(t, "exit"))
			r.wants("aborted", wire.Upgrade{})
			r.put(build(t, ""))
			r.wants("final", wire.Upgrade{})
			r.disk.clear()
			r.wants("final", wire.Upgrade{})
			handovertest.AssertNothingLost(t, r.load.Stop())
		})
	}
}

// TestKeeperOnAnIllDiskGoesOn: builds are kept as open files where they cannot be written, with a warning. Upgrades, rollbacks and the start
// after a crash work, a next keeper too, and all is as before when the disk is well.
func TestKeeperOnAnIllDiskGoesOn(t *testing.T) {
	for _, ill := range ills {
		t.Run(ill.name, func(t *testing.T) {
			t.Parallel()
			r := start(t, true)
			ill.befall(r.disk)
			warned := r.Watch(journal.Says(`msg="the build is kept as an open file"`))
			r.put(version(t, "v2"))
			r.wants("final", wire.Upgrade{})
			if _, err := warned.Line(r.ctx); err != nil {
				t.Errorf("nobody says that the build is not on disk: %v", err)
			}
			r.put(build(t, "exit"))
			r.wants("aborted", wire.Upgrade{})
			r.wants("final", wire.Upgrade{Rollback: true})
			again := r.Watch(journal.Says(`msg="the service is started"`))
			pid := r.PID()
			r.load.Killed(pid, r.Kill(pid)) // its build is not what lies on disk
			if _, err := again.Line(r.ctx); err != nil {
				t.Errorf("the service is not started again: %v\n%s", err, r.Output(60))
			}
			must(t, r.load.WaitAnswers(r.ctx, 20))
			r.nextKeeper()
			r.put(build(t, ""))
			r.wants("final", wire.Upgrade{})
			r.disk.clear()
			r.put(version(t, "v3"))
			r.wants("final", wire.Upgrade{})
			report := r.load.Stop()
			handovertest.AssertLostInCrashOnly(t, report)
			if report.Refused > 0 {
				t.Errorf("refused: %s", report)
			}
		})
	}
}

// nextKeeper kills the keeper, and starts another by hand, which is let in as soon as the service knows.
func (r *run) nextKeeper() {
	r.t.Helper()
	reply, err := control.Ask(r.takeover(), &wire.Status{}, patience, nil)
	must(r.t, err)
	r.Kill(reply.Status.Keeper.PID)
	pid := r.PID()
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	must(r.t, err)
	output, err := os.OpenFile(fmt.Sprintf("/proc/%d/fd/2", pid), os.O_WRONLY, 0)
	must(r.t, err)
	defer output.Close()
	for {
		come := r.Watch(journal.SaysAny(`msg="the service goes on under this keeper"`, `msg="no keeper"`))
		shell := exec.CommandContext(r.ctx, "sh", append([]string{"-c", `"$0" "$@" &`, r.keeper}, r.flags()...)...)
		shell.Env = slices.DeleteFunc(strings.Split(strings.TrimRight(string(environ), "\x00"), "\x00"), func(v string) bool {
			return strings.HasPrefix(v, "HANDOVER_LINK=") || strings.HasPrefix(v, "HANDOVER_KEEPER=")
		})
		shell.Stdout, shell.Stderr = output, output
		must(r.t, shell.Run())
		line, err := come.Line(r.ctx)
		must(r.t, err)
		if strings.Contains(line, "goes on under") {
			return
		}
		if !strings.Contains(line, "busy") {
			r.t.Fatalf("no next keeper: %s\n%s", line, r.Output(80))
		}
	}
}
