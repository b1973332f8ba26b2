package plain

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"

	"github.com/handover-go/handover/internal/wire"
)

// TestScriptIsReleasedByItsDirectory upgrades the same program to another directory, with another environment and limits, which is all that is new: it
// starts so again after its death, and a rollback leads back.
func TestScriptIsReleasedByItsDirectory(t *testing.T) {
	t.Parallel()
	r := start(t, kept{command: []string{pythonServer(t)}, flags: []string{"-settle", "300ms"}})
	first := r.cwd()
	dir := t.TempDir()
	how := &wire.Start{Env: []string{"PATH=" + os.Getenv("PATH"), "COLOUR=blue"}, Limits: []string{"nofile=700"}}
	if reply, _ := r.upgrade(wire.Upgrade{Dir: dir, Start: how}); reply.Outcome != "final" || r.cwd() != dir {
		t.Fatalf("%+v, in %q, want it final in %q\n%s", reply, r.cwd(), dir, r.said())
	}
	as := func(colour string, limited bool) {
		t.Helper()
		pid := r.status().PID
		limits, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "limits"))
		must(t, err)
		if got := environment(t, pid)["COLOUR"]; got != colour || limited != regexp.MustCompile(`Max open files +700 +700 `).Match(limits) {
			t.Errorf("COLOUR=%q, want %q; limited %t, to\n%s", got, colour, limited, limits)
		}
	}
	as("blue", true)
	if told := environment(t, r.status().PID)["HANDOVER_RELEASE"]; told != dir {
		t.Errorf("HANDOVER_RELEASE=%q", told)
	}
	dead := r.status().PID
	must(t, syscall.Kill(dead, syscall.SIGKILL))
	r.Eventually("next process", func() (any, bool) {
		s := r.status()
		return s, s.State == "serving" && s.PID != dead
	})
	if got := r.cwd(); got != dir {
		t.Errorf("started again in %q, want %q", got, dir)
	}
	as("blue", true)
	if reply, _ := r.upgrade(wire.Upgrade{Rollback: true}); reply.Outcome != "final" || r.cwd() != first {
		t.Errorf("%+v, in %q, want it final in %q\n%s", reply, r.cwd(), first, r.said())
	}
	as("", false)
}

// cwd is the directory of the process that serves.
func (r *run) cwd() string {
	r.t.Helper()
	dir, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(r.status().PID), "cwd"))
	must(r.t, err)
	return dir
}
