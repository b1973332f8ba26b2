// Package keeper holds a kept service to what its keeper promises: that no death of the service refuses anybody, that no death of
// the keeper costs anything, that bad builds change nothing, and that nothing is left over.
package keeper

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/control"
	"github.com/handover-go/handover/test/internal/executable"
	"github.com/handover-go/handover/test/internal/journal"
	"github.com/handover-go/handover/test/internal/rig"
)

func TestMain(m *testing.M) {
	if takeover := os.Getenv(strangerVariable); takeover != "" {
		stranger(takeover)
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// patience bounds everything that is waited for, in one test or from Renew on.
const patience = time.Minute

// version returns the service as another build, which says its name in its log.
func version(t *testing.T, name string) string {
	t.Helper()
	return rig.Build(t, "", "-ldflags", "-s -w -X main.build="+name)
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
	*rig.Run
	t        *testing.T
	address  string
	program  string // path of the service's executable
	state    string
	takeover string // path of the socket
	keeper   int    // its process
}

// newRun is of a service that is started at address.
func newRun(t *testing.T, address string) *run {
	return &run{Run: rig.New(t, rig.Patience{Test: patience, Look: 20 * time.Second}), t: t, address: address}
}

// start runs a kept service, and waits until its keeper knows that it serves.
func start(t *testing.T, k kept) *run {
	t.Helper()
	r := newRun(t, handovertest.FreeAddress(t))
	r.program = filepath.Join(t.TempDir(), "service")
	dir := filepath.Join(control.Dir(t), "run")
	r.takeover = filepath.Join(dir, "shop.sock")
	if r.state = k.state; r.state == "" {
		r.state = filepath.Join(t.TempDir(), "state")
	}
	if k.program == "" {
		k.program = rig.Build(t, "")
	}
	r.swap(k.program)
	args := r.flags(k.flags...)
	if k.keeper == "" {
		k.keeper = handovertest.Build(t, "./keep")
	} else {
		args = []string{r.program}
		r.takeover = filepath.Join(dir, "service.sock")
	}
	r.Start(handovertest.Service{
		Path: k.keeper, Address: r.address, Args: args,
		Env: append([]string{
			"ADDR=" + r.address, "HANDOVER_RUNTIME_DIR=" + dir, "HANDOVER_PROBATION=100ms", "HANDOVER_CHECK_INTERVAL=50ms",
			"HANDOVER_DRAIN_TIMEOUT=20s",
		}, k.env...),
	})
	r.settled()
	return r
}

// flags are those of a keeper of this service, and the service.
func (r *run) flags(more ...string) []string {
	return append(append([]string{"-name", "shop", "-state", r.state}, more...), r.program)
}

// settled waits until a keeper lives, and knows that the service serves.
func (r *run) settled() {
	r.t.Helper()
	r.Eventually("a keeper whose service serves", func() (any, bool) {
		reply, err := control.Ask(r.takeover, status, patience, nil)
		if err != nil || reply.Status == nil || reply.Status.Keeper == nil {
			return fmt.Sprint(reply, err), false
		}
		r.keeper = reply.Status.Keeper.PID
		return reply.Status, reply.Status.State == "serving"
	})
}

// swap puts another build at the service's path, atomically.
func (r *run) swap(program string) {
	r.t.Helper()
	executable.Put(r.t, program, r.program)
}

// drive puts the service under load.
func (r *run) drive() *run {
	r.t.Helper()
	load := r.Load()
	load.Clients = rig.Crowd
	r.Drive(load)
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

// upgrade asks the keeper for a handover by signal, and returns the line by which it says how that ended.
func (r *run) upgrade() string {
	r.t.Helper()
	w := r.WatchFor(over)
	r.Signal(r.keeper, syscall.SIGUSR2)
	return r.Line(w)
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
	r.swap(rig.Build(r.t, ""))
	r.wantFinal(r.upgrade())
	r.assertAlone()
}

// finishAfterCrash ends the load, of which nothing may be lost but what the killed had accepted.
func (r *run) finishAfterCrash() handovertest.Report {
	r.t.Helper()
	report := r.Driver.Stop()
	handovertest.AssertLostInCrashOnly(r.t, report)
	return report
}

// kill kills a generation under load.
func (r *run) kill(pid int) time.Time {
	r.t.Helper()
	at := r.Kill(pid)
	if r.Driver != nil {
		r.Driver.Killed(pid, at)
	}
	return at
}

// assertAlone waits until the generation that serves is alone with its keeper, and every other process is reaped.
func (r *run) assertAlone() {
	r.t.Helper()
	pid := r.PID()
	r.Eventually(fmt.Sprintf("process %d alone with keeper %d", pid, r.keeper), func() (any, bool) {
		family := r.Family()
		others := slices.DeleteFunc(slices.Clone(family), func(p handovertest.Process) bool { return p.PID == pid || p.PID == r.keeper })
		return family, len(others) == 0
	})
}

// assertEnded waits for the end of the keeper, and checks its exit code, as it says it.
func (r *run) assertEnded(w *handovertest.Watch, code int, why string) {
	r.t.Helper()
	line := r.Line(w)
	if journal.Number(r.t, line, "code") != code || !strings.Contains(journal.Attribute(line, "error"), why) {
		r.t.Errorf("the keeper says:\n%s\nwant code %d, and %q for its error", line, code, why)
	}
	r.AssertNobodyLeft()
}

// another starts a keeper beside the first or after it, with the environment of the service, and leaves it to itself.
func (r *run) another(flags ...string) {
	r.t.Helper()
	r.ByHand(r.PID(), append([]string{r.Path()}, r.flags(flags...)...)...)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
