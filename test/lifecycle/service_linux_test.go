// Package lifecycle takes a service through every state of its lifecycles: bad builds before and after the commit, each
// wish of a person in each state, joined processes, hostile peers, and looks for what is lost or left over.
package lifecycle

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/journal"
	"github.com/handover-go/handover/test/internal/rig"
)

// patience bounds everything that is waited for, in one test.
const patience = time.Minute

// run is a service under test.
type run struct {
	*rig.Run
	t        *testing.T
	address  string
	takeover string // path of the socket, if the service is named
}

// newRun is of a service that is started at address.
func newRun(t *testing.T, address string) *run {
	return &run{Run: rig.New(t, rig.Patience{Test: patience, Look: 15 * time.Second}), t: t, address: address}
}

// start runs the service, or the executable that is given in its place.
func start(t *testing.T, env ...string) *run { return startFrom(t, rig.Build(t, ""), env...) }

func startFrom(t *testing.T, executable string, env ...string) *run {
	t.Helper()
	r := newRun(t, handovertest.FreeAddress(t))
	r.Start(handovertest.Service{
		Path: executable, Address: r.address,
		Env: append([]string{
			"ADDR=" + r.address, "HANDOVER_PROBATION=100ms", "HANDOVER_CHECK_INTERVAL=50ms", "HANDOVER_DRAIN_TIMEOUT=20s",
		}, env...),
	})
	return r
}

// drive puts the service under load.
func (r *run) drive() *run {
	r.t.Helper()
	load := r.Load()
	load.Clients = rig.Crowd
	r.Drive(load)
	return r
}

// Messages of the library that tests wait for.
const (
	begun     = `msg="handover begins`
	refused   = `msg="upgrade signal: no handover begins"`
	aborted   = `msg="handover aborted: this generation serves on"`
	proving   = `msg="serving on probation"`
	resumed   = `msg="successor taken back: this generation serves again"`
	succeeded = `msg="serving: the handover is final"`
	ending    = `msg=ending `
	ended     = `msg="service ended"`
)

// begin asks for a handover, and waits until the generation that serves has begun it.
func (r *run) begin() (attempt string) {
	r.t.Helper()
	w := r.WatchFor(begun)
	r.Signal(r.PID(), syscall.SIGUSR2)
	return r.Line(w)
}

// outcome watches for the end of a handover.
func (r *run) outcome() *handovertest.Watch {
	return r.Watch(journal.SaysAny(aborted, resumed, succeeded))
}

// attempt asks for a handover, and returns the line that says how it ended.
func (r *run) attempt() string {
	r.t.Helper()
	w := r.outcome()
	r.Signal(r.PID(), syscall.SIGUSR2)
	return r.Line(w)
}

// wantReason checks that a line says why.
func wantReason(t *testing.T, line, message, reason string) {
	t.Helper()
	if !strings.Contains(line, message) || !strings.Contains(journal.Attribute(line, "error"), reason) {
		t.Errorf("the log says:\n%s\nwant %s, with %q for its error", line, message, reason)
	}
}

// upgrades checks that a good build upgrades the service straight away, and is alone in the end.
func (r *run) upgrades() {
	r.t.Helper()
	if err := os.RemoveAll(r.Path()); err != nil {
		r.t.Fatal(err)
	}
	r.Swap(rig.Build(r.t, ""))
	r.Upgrade(1)
	r.assertAlone(r.PID())
}

// assertAlone waits until every other process of the service has ended.
func (r *run) assertAlone(pid int) {
	r.t.Helper()
	for _, p := range r.Family() {
		if p.PID != pid && p.State != "Z" {
			r.AwaitExit(p.PID)
		}
	}
	r.Eventually("process "+itoa(pid)+" alone", func() (any, bool) {
		family := r.Family()
		return family, len(family) == 1 && family[0].PID == pid
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
