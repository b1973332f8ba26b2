// Package cli drives the built command line against real services: every command, with a keeper and without one, and every way
// a handover can end.
package cli

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/executable"
	"github.com/handover-go/handover/test/internal/rig"
)

// patience bounds everything that is waited for, from the start of the service or from renew.
const patience = time.Minute

// run is a service under test, and the command line that is used on it.
type run struct {
	*rig.Run
	t   *testing.T
	cli string
	dir string // of its takeover socket
}

// start runs a service without a keeper.
func start(t *testing.T, env ...string) *run {
	t.Helper()
	return startFrom(t, rig.Build(t, ""), nil, env...)
}

// startKept runs one under "handover run".
func startKept(t *testing.T, flags ...string) *run {
	t.Helper()
	args := append([]string{"run", "--state-dir", filepath.Join(t.TempDir(), "state")}, flags...)
	return startFrom(t, command(t), append(args, "--", rig.Build(t, "")))
}

func command(t *testing.T) string {
	t.Helper()
	return handovertest.Build(t, "github.com/handover-go/handover/host/cmd/handover")
}

func startFrom(t *testing.T, path string, args []string, env ...string) *run {
	t.Helper()
	r := &run{rig.New(t, rig.Patience{Test: patience}), t, command(t), filepath.Join(t.TempDir(), "run")}
	address := handovertest.FreeAddress(t)
	r.Start(handovertest.Service{
		Path: path, Args: args, Address: address,
		Env: append([]string{
			"HANDOVER_NAME=shop", "HANDOVER_RUNTIME_DIR=" + r.dir, "ADDR=" + address, "HANDOVER_PROBATION=200ms",
			"HANDOVER_CHECK_INTERVAL=50ms", "HANDOVER_DRAIN_TIMEOUT=20s",
		}, env...),
	})
	r.eventuallyActive()
	return r
}

// eventuallyActive waits until the service answers at its takeover socket, which it opens once it serves.
func (r *run) eventuallyActive() {
	r.t.Helper()
	for code, said := 3, ""; code != 0; code, said = r.handover("status") {
		if code != 3 || r.Ctx.Err() != nil {
			r.t.Fatalf("handover status: exit %d\n%s", code, said)
		}
	}
}

// handover runs a command, and returns how it ended and all that it said.
func (r *run) handover(args ...string) (code int, said string) {
	r.t.Helper()
	cmd := exec.CommandContext(r.Ctx, r.cli, args...)
	cmd.Env = append(os.Environ(), "HANDOVER_RUNTIME_DIR="+r.dir, "GORACE=atexit_sleep_ms=0")
	p, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.t.Fatalf("handover %s: %v", strings.Join(args, " "), err)
	}
	return cmd.ProcessState.ExitCode(), string(p)
}

// want runs a command that must end with that code and say all of parts, which are regular expressions.
func (r *run) want(code int, args []string, parts ...string) {
	r.t.Helper()
	got, said := r.handover(args...)
	if got != code {
		r.t.Fatalf("handover %s: exit %d, want %d\n%s", strings.Join(args, " "), got, code, said)
	}
	for _, part := range parts {
		if !regexp.MustCompile(part).MatchString(said) {
			r.t.Errorf("handover %s does not say %q:\n%s", strings.Join(args, " "), part, said)
		}
	}
}

// status is what "handover status -o json" says.
func (r *run) status() (s struct {
	Active     bool
	State      string
	Generation int
	PID        int
}) {
	r.t.Helper()
	code, said := r.handover("status", "-o", "json")
	if err := json.Unmarshal([]byte(said), &s); err != nil || code != 0 {
		r.t.Fatalf("exit %d, %v\n%s", code, err, said)
	}
	return s
}

// serves makes sure which generation serves, and that clients and the status agree on its process.
func (r *run) serves(generation int) {
	r.t.Helper()
	if s := r.status(); !s.Active || s.Generation != generation || s.PID != r.PID() {
		r.t.Errorf("%+v, want generation %d, process %d", s, generation, r.PID())
	}
}

func TestServiceIsUpgradedRolledBackAndStopped(t *testing.T) {
	t.Parallel()
	v2 := rig.Build(t, "", "-ldflags", "-X main.build=v2")
	r := start(t)
	r.serves(1)
	r.want(0, []string{"upgrade"}, `(?m) offering +generation 1 pid \d+`, `(?m) probation +generation 1 pid \d+`, `(?m) final +generation 2 pid \d+ serves, ready .*, switch .*, total `)
	r.serves(2)
	r.want(0, []string{"upgrade", "shop", "--binary", v2}, ` final `)
	r.serves(3)
	r.want(0, []string{"rollback", "shop", "-o", "json"}, `"outcome": "final"`, `"generation": 4`)
	r.serves(4)
	r.want(0, []string{"stop", "shop"}, `^shop: ended, pid \d+\n$`)
	r.want(3, []string{"status", "shop"}, `inactive`)
	r.want(1, []string{"upgrade", "shop"}, `nobody answers`, `start the service`)
}

func TestKeptServiceIsUpgradedRolledBackAndStopped(t *testing.T) {
	t.Parallel()
	v2 := rig.Build(t, "", "-ldflags", "-X main.build=v2")
	r := startKept(t, "--health", "/?id=check", "--probation", "300ms")
	r.serves(1)
	r.want(0, []string{"status"}, `(?m)^keeper +pid \d+, 0 restarts$`, `(?m)^running +[0-9a-f]{64}$`)
	r.want(0, []string{"upgrade", "shop", "--binary", v2}, `(?m) probation +generation 1 `, `(?m) final +generation 2 pid \d+ serves`)
	r.serves(2)
	r.want(10, []string{"upgrade", "--binary", os.DevNull}, `unfit to be started`)
	r.want(12, []string{"upgrade", "--binary", rig.Build(t, "exit")}, `aborted +generation 2`)
	r.want(0, []string{"rollback"}, `(?m) final +generation 3 pid \d+ serves`)
	r.serves(3)
	r.want(0, []string{"stop"}, `^shop: ended, pid \d+\n$`)
	r.want(3, []string{"status", "shop"}, `inactive`)
}

func TestHandoverThatIsNotWaitedForGoesOn(t *testing.T) {
	t.Parallel()
	r := start(t, "HANDOVER_PROBATION=6s")
	final := r.WatchFor("serving: the handover is final")
	defer final.Forget()
	r.want(0, []string{"upgrade", "--wait=false"}, `begun +attempt 1\n$`)
	r.want(1, []string{"upgrade"}, `a handover is under way: attempt 1`, `status --watch`)
	r.Line(final)
	r.serves(2)
}

// bad are builds that must not come to serve, and how "handover upgrade" ends with each.
var bad = []struct {
	what string
	make func(t *testing.T, path string) // the file at path; it is missing until then
	code int
	says string
}{
	{"text", content("not a program", 0o755), 10, "unfit to be started"},
	{"empty file", content("", 0o755), 10, "is empty"},
	{"script in the place of a program", content("#!/bin/sh\nexit 0\n", 0o755), 10, "script"},
	{"program that nobody may execute", func(t *testing.T, path string) { copied(t, rig.Build(t, ""), path, -1, 0o644) }, 10, "execut"},
	{"program that was cut short", func(t *testing.T, path string) { copied(t, rig.Build(t, ""), path, 100_000, 0o755) }, 10, "cut short|truncated"},
	{"directory", func(t *testing.T, path string) { must(t, os.Mkdir(path, 0o755)) }, 10, "directory"},
	{"nothing", func(*testing.T, string) {}, 10, "no such file|not there|does not exist"},
	{"link to nothing", func(t *testing.T, path string) { must(t, os.Symlink("/nowhere", path)) }, 10, "leads nowhere"},
	{"program for another machine", func(t *testing.T, path string) { copied(t, crossed(t), path, -1, 0o755) }, 10, "AARCH64"},
	{"another program", func(t *testing.T, path string) {
		copied(t, handovertest.Build(t, "github.com/handover-go/handover/host/cmd/handover"), path, -1, 0o755)
	}, 10, "module"},
	{"build that exits", flaw("exit"), 12, "exit status 1"},
	{"build that fails its check", flaw("check"), 12, "does not feel well"},
	{"build that hangs", flaw("hang"), 13, "not ready in time"},
	{"build that crashes after the commit", flaw("late"), 11, "exit status 3"},
}

func content(text string, mode os.FileMode) func(*testing.T, string) {
	return func(t *testing.T, path string) { must(t, os.WriteFile(path, []byte(text), mode)) }
}

func flaw(name string) func(*testing.T, string) {
	return func(t *testing.T, path string) { copied(t, rig.Build(t, name), path, -1, 0o755) }
}

// copied copies the first n bytes of a file, or all of it.
func copied(t *testing.T, from, to string, n int, mode os.FileMode) {
	t.Helper()
	b, err := os.ReadFile(from)
	must(t, err)
	if n >= 0 {
		b = b[:n]
	}
	executable.Write(t, to, b, mode)
}

// crossed is the service for another machine.
func crossed(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "crossed")
	cmd := exec.Command("go", "build", "-o", path, "../service")
	cmd.Env = append(os.Environ(), "GOARCH=arm64", "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build for arm64: %v\n%s", err, said)
	}
	return path
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestBadBuildsEndWithTheirExitCodes gives the reason in one line, and what to do in the next. The incumbent is not touched.
func TestBadBuildsEndWithTheirExitCodes(t *testing.T) {
	t.Parallel()
	for how, begin := range map[string]func(*testing.T) *run{
		"alone":         func(t *testing.T) *run { return start(t, "HANDOVER_PROBATION=3s", "HANDOVER_READY_TIMEOUT=5s") },
		"with a keeper": func(t *testing.T) *run { return startKept(t, "--probation", "3s", "--ready-timeout", "5s") },
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			r := begin(t)
			serving := r.PID()
			for _, b := range bad {
				path := filepath.Join(t.TempDir(), "next")
				b.make(t, path)
				r.Renew() // it may have been built
				r.want(b.code, []string{"upgrade", "--binary", path}, "(?s)handover: .*("+b.says+").*\n  [a-z]")
				if t.Failed() {
					t.Fatalf("that was: %s", b.what)
				}
			}
			r.serves(1)
			if pid := r.PID(); pid != serving {
				t.Errorf("process %d serves, want %d", pid, serving)
			}
			r.want(0, []string{"upgrade", "--binary", rig.Build(t, "")}, "final")
		})
	}
}

func TestDoctorSeesTheService(t *testing.T) {
	t.Parallel()
	r := start(t)
	_, said := r.handover("doctor", "shop") // whether something of this host fails is its own affair
	for _, part := range []string{`(?m)^ok +services +"shop" is serving, generation 1$`, `(?m)^ok +pidfd`, `(?m)^\w+ +open files +service "shop" \(pid \d+\)`, `(?m)^\w+ +memory +service "shop"`} {
		if !regexp.MustCompile(part).MatchString(said) {
			t.Errorf("does not say %q:\n%s", part, said)
		}
	}
}
