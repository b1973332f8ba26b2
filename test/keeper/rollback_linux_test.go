package keeper

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/test/internal/count"
	"github.com/handover-go/handover/test/internal/executable"
	"github.com/handover-go/handover/test/internal/journal"
	"github.com/handover-go/handover/test/internal/rig"
)

// serves returns the build that serves, by the line of its process that says so, which is awaited by w.
func (r *run) serves(w func() string, want string) {
	r.t.Helper()
	if line := w(); journal.Attribute(line, "build") != want {
		r.t.Fatalf("%s serves, want %s:\n%s", journal.Attribute(line, "build"), want, line)
	}
}

// next watches for the process that serves next.
func (r *run) next() func() string {
	w := r.WatchFor(proving)
	return func() string {
		r.t.Helper()
		return r.Line(w)
	}
}

// rollback asks for the build before.
func (r *run) rollback(want string) {
	r.t.Helper()
	r.Renew()
	w := r.next()
	if reply := r.ask(&wire.Upgrade{Rollback: true}); reply.Outcome != "final" {
		r.t.Fatalf("reply %+v, want it final\n%s", reply, r.Output(60))
	}
	r.serves(w, want)
}

// unusable are directories in which no build can be kept: they are read-only, to root too, or no directory.
var unusable = map[string]func(t *testing.T) string{
	"a device": func(*testing.T) string { return "/dev/null/state" },
	"below a file": func(t *testing.T) string {
		path := filepath.Join(t.TempDir(), "file")
		must(t, os.WriteFile(path, nil, 0o600))
		return filepath.Join(path, "state")
	},
	"of the kernel": func(*testing.T) string { return "/proc/1/state" },
}

// TestKeptBuildIsRestartedWhateverLiesOnDisk kills the service after its file was overwritten, and after it was removed: what served
// is started again, under its own name. Rollback leads to the build before, and back.
func TestKeptBuildIsRestartedWhateverLiesOnDisk(t *testing.T) {
	t.Parallel()
	places := map[string]func(t *testing.T) string{"a directory": func(*testing.T) string { return "" }}
	for name, place := range unusable {
		places[name+", so that files are held"] = place
	}
	for name, place := range places {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			one, two := version(t, "one"), version(t, "two")
			r := start(t, kept{program: one, state: place(t), flags: []string{"-steady", "1ms"}}).drive()
			if reply := r.ask(&wire.Upgrade{Rollback: true}); reply.Code != wire.CodeVerification || !strings.Contains(reply.Error, "no build before this one is kept") {
				t.Errorf("reply %+v", reply)
			}
			r.swap(two)
			r.restarts("one")
			must(t, os.Remove(r.program))
			r.restarts("one")

			r.swap(two)
			w := r.next()
			r.wantFinal(r.upgrade())
			r.serves(w, "two")
			must(t, os.Remove(r.program))
			r.restarts("two")
			r.rollback("one")
			r.rollback("two")
			r.rollback("one")
			executable.Replace(t, r.program, []byte("garbage"), 0o755)
			r.restarts("one")
			r.rollback("two")
			r.assertAlone()
			r.finishAfterCrash()
		})
	}
}

// restarts kills the service, and checks which build comes next.
func (r *run) restarts(want string) {
	r.t.Helper()
	r.Renew()
	w := r.next()
	r.kill(r.PID())
	r.serves(w, want)
	r.settled()
	if command, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(r.PID()), "cmdline")); err != nil || !strings.HasPrefix(string(command), r.program+"\x00") {
		r.t.Errorf("its command is %q, %v; want %s", command, err, r.program)
	}
	r.Answers(20)
}

// TestHeldBuildsLeaveNoDescriptors upgrades to the same file again and again where builds can only be held.
func TestHeldBuildsLeaveNoDescriptors(t *testing.T) {
	t.Parallel()
	r := start(t, kept{state: "/dev/null/state"})
	r.upgrades()
	same := r.sameDescriptors()
	for range count.Of(5, 50) {
		r.Renew()
		r.upgrades()
		r.swap(rig.Build(t, "exit"))
		if line := r.upgrade(); journal.Attribute(line, "outcome") != "aborted" {
			t.Error(line)
		}
	}
	same()
}

// TestStoreOfBuildsIsBounded upgrades to ten builds: no more than a few are kept.
func TestStoreOfBuildsIsBounded(t *testing.T) {
	t.Parallel()
	r := start(t, kept{})
	program, err := os.ReadFile(rig.Build(t, ""))
	must(t, err)
	for i := range 10 {
		r.Renew()
		// What follows the sections of an ELF file is nothing to the kernel, and another build to a keeper.
		executable.Replace(t, r.program, append(program, byte(i)), 0o755)
		r.wantFinal(r.upgrade())
	}
	kept, err := filepath.Glob(filepath.Join(r.state, "*", "service"))
	must(t, err)
	if len(kept) < 2 || len(kept) > 5 {
		t.Errorf("%d builds are kept: %q", len(kept), kept)
	}
}
