package lifecycle

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/handover-go/handover/test/internal/executable"
	"github.com/handover-go/handover/test/internal/rig"
)

// badBuild is what stands at the service's path when it is to be upgraded.
type badBuild struct {
	name   string
	put    func(t *testing.T, path string)
	reason string // what the log must say of it
}

var badBuilds = []badBuild{
	{"a text file", file("not a program\n", 0o755), "exec format error"},
	{"an empty file", file("", 0o755), "exec format error"},
	{"another architecture", putForeign, "exec format error"},
	{"cut within its header", putCut(40), "exec format error"},
	{"cut in half", putCut(0), "signal: "},
	{"not executable", file("#!/bin/sh\n", 0o644), "permission denied"},
	{"missing", func(*testing.T, string) {}, "no such file or directory"},
	{"a directory", func(t *testing.T, path string) { must(t, os.Mkdir(path, 0o755)) }, "permission denied"},
	{"a script without its interpreter", file("#!/no/such/interpreter\n", 0o755), "no such file or directory"},
	{"exits at once", flawed("exit"), "exit status 1"},
	{"hangs before it is ready", flawed("hang"), "the successor was not ready in time: nothing came within 3s"},
	{"fails its check", flawed("check"), "this build does not feel well"},
}

// TestBadBuildIsRefusedAndLosesNothing upgrades, under load, to what is no good build: the incumbent never stops answering
// and says why, and a good build upgrades it straight afterwards.
func TestBadBuildIsRefusedAndLosesNothing(t *testing.T) {
	t.Parallel()
	for _, bad := range badBuilds {
		t.Run(bad.name, func(t *testing.T) {
			t.Parallel()
			ready := "HANDOVER_READY_TIMEOUT=20s"
			if strings.Contains(bad.reason, "not ready in time") { // it is waited out
				ready = "HANDOVER_READY_TIMEOUT=3s"
			}
			r := start(t, ready).drive()
			incumbent := r.PID()
			must(t, os.Remove(r.Path()))
			bad.put(t, r.Path())
			r.Renew() // as it may have been built only now
			wantReason(t, r.attempt(), aborted, bad.reason)
			r.AssertServes(incumbent)
			r.assertAlone(incumbent)
			r.upgrades()
			r.Finish()
		})
	}
}

// TestExecutableBeingWrittenIsRefused upgrades while a deployment copies the next build over the old path, in place.
func TestExecutableBeingWrittenIsRefused(t *testing.T) {
	t.Parallel()
	r := start(t).drive()
	incumbent := r.PID()
	next, err := os.ReadFile(rig.Build(t, ""))
	must(t, err)
	must(t, os.Remove(r.Path()))
	copying, err := os.OpenFile(r.Path(), os.O_CREATE|os.O_WRONLY, 0o755)
	must(t, err)
	_, err = copying.Write(next[:len(next)/2])
	must(t, err)
	wantReason(t, r.attempt(), aborted, "text file busy")
	r.AssertServes(incumbent)
	_, err = copying.Write(next[len(next)/2:])
	must(t, err)
	syscall.ForkLock.RLock() // a child between fork and exec would have it open, too (golang/go#22315)
	err = copying.Close()
	syscall.ForkLock.RUnlock()
	must(t, err)
	r.Upgrade(1)
	r.assertAlone(r.PID())
	r.Finish()
}

// TestExecutableReplacedOnceStartedIsNotMissed replaces the executable by garbage, and then removes it, after its process was
// started: a generation depends on nothing on disk.
func TestExecutableReplacedOnceStartedIsNotMissed(t *testing.T) {
	t.Parallel()
	r := start(t).drive()
	w := r.outcome()
	r.begin()
	executable.Replace(t, r.Path(), []byte("not a program\n"), 0o755)
	if line := r.Line(w); !strings.Contains(line, succeeded) {
		t.Errorf("the log says:\n%s\nwant %s", line, succeeded)
	}
	serving := r.PID()
	wantReason(t, r.attempt(), aborted, "exec format error")
	must(t, os.Remove(r.Path()))
	wantReason(t, r.attempt(), aborted, "no such file or directory")
	r.AssertServes(serving)
	r.upgrades()
	r.Finish()
}

// TestRelativePathIsFollowedAfterChdir starts a service by a relative path, and lets it leave its directory, before New and
// after it. The next build at that path upgrades it; that of a relative path which leads nowhere any more does not.
func TestRelativePathIsFollowedAfterChdir(t *testing.T) {
	t.Parallel()
	for _, moment := range []string{"early", "late"} {
		t.Run(moment, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			must(t, os.Mkdir(filepath.Join(dir, "bin"), 0o755))
			path := filepath.Join(dir, "bin", "service")
			program := rig.Build(t, "")
			executable.Put(t, program, path)
			starter := filepath.Join(t.TempDir(), "start")
			must(t, os.WriteFile(starter, []byte("#!/bin/sh\ncd "+dir+" && exec bin/service\n"), 0o755))
			r := startFrom(t, starter, "CHDIR="+moment).drive()
			must(t, os.Remove(path))
			wantReason(t, r.attempt(), aborted, path+": no such file or directory")
			executable.Put(t, program, path)
			r.Upgrade(2)
			r.assertAlone(r.PID())
			r.Finish()
		})
	}
}

// TestServiceOutlivesItsDeletedExecutable has the executable of each generation removed before New: its name is
// "… (deleted)" from then on.
func TestServiceOutlivesItsDeletedExecutable(t *testing.T) {
	t.Parallel()
	r := start(t, "UNLINK=yes").drive()
	for range 2 {
		incumbent := r.PID()
		if name, err := os.Readlink(filepath.Join("/proc", itoa(incumbent), "exe")); err != nil || name != r.Path()+" (deleted)" {
			t.Fatalf("executable %q, %v; want it deleted", name, err)
		}
		wantReason(t, r.attempt(), aborted, r.Path()+": no such file or directory")
		r.AssertServes(incumbent)
		r.upgrades()
	}
	r.Finish()
}

// file puts a file there.
func file(content string, mode os.FileMode) func(*testing.T, string) {
	return func(t *testing.T, path string) { executable.Replace(t, path, []byte(content), mode) }
}

// flawed puts a build with that flaw there.
func flawed(flaw string) func(*testing.T, string) {
	return func(t *testing.T, path string) { executable.Put(t, rig.Build(t, flaw), path) }
}

// putCut puts the first bytes of a good build there: half of it, if size is 0.
func putCut(size int) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		program, err := os.ReadFile(rig.Build(t, ""))
		must(t, err)
		if size == 0 {
			size = len(program) / 2
		}
		executable.Replace(t, path, program[:size], 0o755)
	}
}

// putForeign puts a program for another processor there.
func putForeign(t *testing.T, path string) {
	foreign := map[string]string{"arm64": "amd64"}[runtime.GOARCH]
	if foreign == "" {
		foreign = "arm64"
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./testdata/foreign")
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+foreign, "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build for %s: %v\n%s", foreign, err, out)
	}
	program, err := elf.Open(path)
	must(t, err)
	defer program.Close()
	t.Log(program.Machine)
}
