//go:build debian

package disk

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/test/internal/control"
	"github.com/handover-go/handover/test/internal/executable"
	"github.com/handover-go/handover/test/internal/journal"
	"github.com/handover-go/handover/test/internal/rig"
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
	*rig.Run
	t       *testing.T
	disk    *disk
	program string // path of the service's executable
	keeper  string // executable of the keeper
}

func build(t *testing.T, flaw string) string {
	t.Helper()
	return rig.Build(t, flaw)
}

// version is another build, as good.
func version(t *testing.T, name string) string {
	t.Helper()
	return rig.Build(t, "", "-ldflags", "-s -w -X main.build="+name)
}

func start(t *testing.T, kept bool) *run {
	t.Helper()
	r := &run{Run: rig.New(t, rig.Patience{Test: patience}), t: t, disk: newDisk(t)}
	address := handovertest.FreeAddress(t)
	s := handovertest.Service{
		Path: build(t, ""), Address: address,
		Env: []string{
			"ADDR=" + address, "HANDOVER_NAME=shop", "HANDOVER_RUNTIME_DIR=" + filepath.Join(r.disk.path, "run"),
			"HANDOVER_PROBATION=300ms", "HANDOVER_CHECK_INTERVAL=50ms", "HANDOVER_DRAIN_TIMEOUT=20s",
		},
	}
	if kept {
		r.program, r.keeper = filepath.Join(t.TempDir(), "service"), handovertest.Build(t, "../../keeper/keep", "-ldflags", "-s -w")
		r.put(s.Path)
		s.Path, s.Args = r.keeper, r.flags()
	}
	r.Start(s)
	if !kept {
		r.program = r.Path()
	}
	load := r.Load()
	load.Clients = handovertest.Clients{KeepAlive: 3, New: 2, Slow: 1, Upload: 1, Pipelined: 1, Idle: 1}
	r.Drive(load)
	return r
}

func (r *run) flags() []string {
	return []string{"-name", "shop", "-state", filepath.Join(r.disk.path, "state"), "-steady", "1ms", r.program}
}

func (r *run) takeover() string { return filepath.Join(r.disk.path, "run", "shop.sock") }

// put puts a build where the next generation is started from.
func (r *run) put(program string) {
	r.t.Helper()
	executable.Put(r.t, program, r.program)
}

// asks asks for what, at the takeover socket, until the answer is another than that something is under way.
func (r *run) asks(what *wire.Upgrade) *wire.Reply {
	r.t.Helper()
	var reply *wire.Reply
	r.Eventually("an answer", func() (any, bool) {
		var err error
		reply, err = control.Ask(r.takeover(), what, patience, nil)
		return fmt.Sprint(reply, err), err == nil && reply.Code != wire.CodeBusy && reply.Code != wire.CodeDenied
	})
	return reply
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
			r.Finish()
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
			warned := r.WatchFor(`msg="the build is kept as an open file"`)
			r.put(version(t, "v2"))
			r.wants("final", wire.Upgrade{})
			r.Line(warned, "nobody says that the build is not on disk")
			r.put(build(t, "exit"))
			r.wants("aborted", wire.Upgrade{})
			r.wants("final", wire.Upgrade{Rollback: true})
			again := r.WatchFor(`msg="the service is started"`)
			pid := r.PID()
			r.Driver.Killed(pid, r.Kill(pid)) // its build is not what lies on disk
			r.Line(again, "the service is not started again")
			r.Answers(20)
			r.nextKeeper()
			r.put(build(t, ""))
			r.wants("final", wire.Upgrade{})
			r.disk.clear()
			r.put(version(t, "v3"))
			r.wants("final", wire.Upgrade{})
			report := r.Driver.Stop()
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
	for {
		come := r.Watch(journal.SaysAny(`msg="the service goes on under this keeper"`, `msg="no keeper"`))
		r.ByHand(r.PID(), append([]string{r.keeper}, r.flags()...)...)
		line := r.Line(come)
		if strings.Contains(line, "goes on under") {
			return
		}
		if !strings.Contains(line, "busy") {
			r.t.Fatalf("no next keeper: %s\n%s", line, r.Output(80))
		}
	}
}
