package release

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// crashVariable makes the test binary a process that changes a store and is killed on the way: "STEP STORE ARTIFACT KEY.pub".
const crashVariable = "HANDOVER_RELEASE_CRASH"

func TestMain(m *testing.M) {
	if os.Getenv(crashVariable) != "" {
		os.Exit(change())
	}
	if dir := os.Getenv(smallVariable); dir != "" {
		os.Exit(addWhereItIsSmall(dir))
	}
	os.Exit(m.Run())
}

// change changes the store, and kills itself before the step whose number it was given.
func change() int {
	var last int
	if _, err := fmt.Sscan(os.Getenv(crashVariable), &last); err != nil {
		panic(err)
	}
	step := 0
	err := upgrade(os.Args[1], os.Args[2], os.Args[3], disk{step: func(string) {
		if step++; step == last {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// upgrade adds, activates and commits a release, and removes those before.
func upgrade(dir, artifact, key string, d disk) error {
	s, err := open(dir, d)
	if err != nil {
		return err
	}
	keys, err := LoadKeys(key)
	if err != nil {
		return err
	}
	src, err := ParseSource(artifact)
	if err != nil {
		return err
	}
	r, err := s.Add(context.Background(), src, Policy{Keys: keys}, nil)
	if err != nil {
		return err
	}
	if err := errors.Join(s.Activate(r.ID), s.Commit(r.ID)); err != nil {
		return err
	}
	_, err = s.Prune(0)
	return err
}

// Whenever the process is killed, the release before or the new one is current and whole, and the change can be made again.
func TestReleaseIsCurrentWhereverItsChangeIsKilled(t *testing.T) {
	w := newWorkshop(t)
	artifact := w.signed("1.2.0")
	states := map[string]int{}
	began, first := w.serving()
	for step := 1; ; step++ {
		s := store(t)
		w.check(os.CopyFS(s.Dir(), os.DirFS(began.Dir())))
		killed := w.crash(s.Dir(), artifact, step)
		again, err := Open(s.Dir())
		w.check(err)
		if staged, err := os.ReadDir(again.path(stagingDir)); err != nil || len(staged) > 0 {
			t.Fatalf("step %d: staging has %v, %v", step, staged, err)
		}
		c, ok, err := again.Current()
		if err != nil || !ok || c.ID != first.ID && c.Manifest.Version != "1.2.0" {
			t.Fatalf("step %d: current %s, %v, %v", step, c.ID, ok, err)
		}
		w.check(again.Verify(t.Context(), c.ID))
		version, err := again.Committed()
		w.check(err)
		all, err := again.List()
		w.check(err)
		states[fmt.Sprintf("%s current, %s committed, %d there", c.Manifest.Version, version, len(all))]++
		if killed {
			w.check(upgrade(s.Dir(), artifact, w.path("ci.key.pub"), disk{scratch: true}))
		}
		if c, _, err := again.Current(); err != nil || c.Manifest.Version != "1.2.0" {
			t.Fatalf("step %d: after the change was made again %s is current, %v", step, c.ID, err)
		}
		if !killed {
			t.Logf("%d steps: %v", step-1, states)
			break
		}
	}
	for _, state := range []string{
		"1.1.0 current, 1.1.0 committed, 1 there", "1.1.0 current, 1.1.0 committed, 2 there", "1.2.0 current, 1.1.0 committed, 2 there",
		"1.2.0 current, 1.2.0 committed, 2 there", "1.2.0 current, 1.2.0 committed, 1 there",
	} {
		if states[state] == 0 {
			t.Errorf("no step left %s: %v", state, states)
		}
	}
}

// A kill does not lose what only the page cache has, a power cut does. So before a name is given, what it names was written out, and afterwards the
// directory that has the name.
func TestEverythingIsOnDiskBeforeItIsNamed(t *testing.T) {
	w := newWorkshop(t)
	var steps []string
	dir := filepath.Join(t.TempDir(), "shop")
	s, err := open(dir, disk{step: func(what string) { steps = append(steps, strings.ReplaceAll(what, dir, "")) }})
	w.check(err)
	r := w.added(s, w.signed("1.2.0"))
	staged := regexp.MustCompile(`/staging/add-[0-9]+/release`)
	named := slices.Index(steps, "rename to /releases/"+r.ID)
	var before []string
	for _, step := range steps[:max(named, 0)] {
		before = append(before, staged.ReplaceAllString(step, ""))
	}
	for _, what := range []string{
		"bin/shop", "etc/shop.yaml", ".handover/release.json", ".handover/release.json.minisig", ".handover/origin.json", "bin", "etc", ".handover", "",
	} {
		if !slices.Contains(before, strings.TrimSuffix("sync /"+what, "/")) && !(what == "" && slices.Contains(before, "sync ")) {
			t.Errorf("%q was not written out: %q", what, before)
		}
	}
	if after := steps[named+1:]; !slices.Equal(after, []string{"sync /releases"}) {
		t.Errorf("after the rename: %q", after)
	}
	steps = nil
	w.check(s.Activate(r.ID))
	w.check(s.Commit(r.ID))
	if want := []string{"sync ", "rename to /current", "sync ", "sync ", "replace committed", "sync "}; !slices.Equal(steps, want) {
		t.Errorf("steps %q, want %q", steps, want)
	}
}

// crash makes the change in a process of its own, and reports whether that was killed.
func (w *workshop) crash(dir, artifact string, step int) bool {
	w.t.Helper()
	self, err := os.Executable()
	w.check(err)
	c := exec.CommandContext(w.t.Context(), self, dir, artifact, w.path("ci.key.pub"))
	c.Env = append(os.Environ(), crashVariable+"="+strconv.Itoa(step), "GORACE=atexit_sleep_ms=0")
	out, err := c.CombinedOutput()
	if err == nil {
		return false
	}
	exit := (*exec.ExitError)(nil)
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		w.t.Fatalf("step %d: %v: %s", step, err, out)
	}
	return true
}
