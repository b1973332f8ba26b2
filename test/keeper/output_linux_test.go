package keeper

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/handover-go/handover/internal/wire"
)

// TestWhatAProcessWritesIsInItsFile upgrades, kills, and kills the keeper: each generation has a file of its own, which STATUS names, and
// writes on there without a keeper.
func TestWhatAProcessWritesIsInItsFile(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "log")
	r := start(t, kept{flags: []string{"-output", dir, "-steady", "1ms"}})
	file := func() string {
		t.Helper()
		all := r.ask(status).Status.Keeper.Generations
		i := slices.IndexFunc(all, func(g wire.Living) bool { return g.PID == r.PID() })
		if i < 0 || filepath.Dir(all[i].Output) != dir {
			t.Fatalf("%+v, want the file of process %d in %s", all, r.PID(), dir)
		}
		return all[i].Output
	}
	says := func(path, what string) {
		t.Helper()
		r.Eventually("what the process has written", func() (any, bool) {
			text, err := os.ReadFile(path)
			return err, strings.Contains(string(text), what)
		})
	}
	first := file()
	says(first, `msg=serving`)
	r.asks(&wire.Upgrade{})
	second := file()
	says(first, `msg="handover final"`)
	says(second, succeeded)
	if reply := r.ask(&wire.Upgrade{Keeper: true}); reply.Outcome != "final" {
		t.Fatalf("%+v", reply)
	}
	if again := file(); again != second {
		t.Errorf("a replaced keeper names %q, want %q", again, second)
	}
	r.kill(r.PID())
	r.settled()
	third := file()
	r.Kill(r.keeper)
	says(third, alone)
	if files, err := filepath.Glob(filepath.Join(dir, "*.log")); err != nil || len(files) != 3 {
		t.Errorf("%q, %v", files, err)
	}
}
