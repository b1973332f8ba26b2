// Package cli drives the built command line against real services: every command, with a keeper and without one, and every way
// a handover can end.
package cli

import (
	"context"
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
)

// patience bounds everything that is waited for, in one test.
const patience = time.Minute

// run is a service under test, and the command line that is used on it.
type run struct {
	*handovertest.Running
	t   *testing.T
	ctx context.Context
	cli string
	dir string // of its takeover socket
}

// start runs a service without a keeper.
func start(t *testing.T, env ...string) *run {
	t.Helper()
	return startFrom(t, build(t), nil, env...)
}

// startKept runs one under "handover run".
func startKept(t *testing.T, flags ...string) *run {
	t.Helper()
	args := append([]string{"run", "--state-dir", filepath.Join(t.TempDir(), "state")}, flags...)
	return startFrom(t, command(t), append(args, "--", build(t)))
}

func build(t *testing.T, flags ...string) string {
	t.Helper()
	return handovertest.Build(t, "../service", flags...)
}

func command(t *testing.T) string {
	t.Helper()
	return handovertest.Build(t, "github.com/handover-go/handover/host/cmd/handover")
}

func startFrom(t *testing.T, path string, args []string, env ...string) *run {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	r := &run{t: t, ctx: ctx, dir: filepath.Join(t.TempDir(), "run")}
	r.cli = command(t)
	address := handovertest.FreeAddress(t)
	r.Running = handovertest.Start(t, handovertest.Service{
		Path: path, Args: args, Address: address,
		Env: append([]string{
			"HANDOVER_NAME=shop", "HANDOVER_RUNTIME_DIR=" + r.dir, "ADDR=" + address, "HANDOVER_PROBATION=200ms",
			"HANDOVER_CHECK_INTERVAL=50ms", "HANDOVER_DRAIN_TIMEOUT=20s", "GORACE=atexit_sleep_ms=0",
		}, env...),
	})
	r.eventuallyActive()
	return r
}

// eventuallyActive waits until the service answers at its takeover socket, which it opens once it serves.
func (r *run) eventuallyActive() {
	r.t.Helper()
	for code, said := 3, ""; code != 0; code, said = r.handover("status") {
		if code != 3 || r.ctx.Err() != nil {
			r.t.Fatalf("handover status: exit %d\n%s", code, said)
		}
	}
}

func flawed(t *testing.T, flaw string) string {
	return build(t, "-ldflags", "-X main.flaw="+flaw)
}

// handover runs a command, and returns how it ended and all that it said.
func (r *run) handover(args ...string) (code int, said string) {
	r.t.Helper()
	cmd := exec.CommandContext(r.ctx, r.cli, args...)
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
	r := start(t)
	r.serves(1)
	r.want(0, []string{"upgrade"}, `(?m) offering +generation 1 pid \d+`, `(?m) probation +generation 1 pid \d+`, `(?m) final +generation 2 pid \d+ serves, ready .*, switch .*, total `)
	r.serves(2)
	r.want(0, []string{"upgrade", "shop", "--binary", build(t, "-ldflags", "-X main.build=v2")}, ` final `)
	r.serves(3)
	r.want(0, []string{"rollback", "shop", "-o", "json"}, `"outcome": "final"`, `"generation": 4`)
	r.serves(4)
	r.want(0, []string{"stop", "shop"}, `^shop: ended, pid \d+\n$`)
	r.want(3, []string{"status", "shop"}, `inactive`)
	r.want(1, []string{"upgrade", "shop"}, `nobody answers`, `start the service`)
}

func TestKeptServiceIsUpgradedRolledBackAndStopped(t *testing.T) {
	t.Parallel()
	r := startKept(t, "--health", "/?id=check", "--probation", "300ms")
	r.serves(1)
	r.want(0, []string{"status"}, `(?m)^keeper +pid \d+, 0 restarts$`, `(?m)^running +[0-9a-f]{64}$`)
	r.want(0, []string{"upgrade", "shop", "--binary", build(t, "-ldflags", "-X main.build=v2")}, `(?m) probation +generation 1 `, `(?m) final +generation 2 pid \d+ serves`)
	r.serves(2)
	r.want(10, []string{"upgrade", "--binary", os.DevNull}, `unfit to be started`)
	r.want(12, []string{"upgrade", "--binary", flawed(t, "exit")}, `aborted +generation 2`)
	r.want(0, []string{"rollback"}, `(?m) final +generation 3 pid \d+ serves`)
	r.serves(3)
	r.want(0, []string{"stop"}, `^shop: ended, pid \d+\n$`)
	r.want(3, []string{"status", "shop"}, `inactive`)
}

func TestHandoverThatIsNotWaitedForGoesOn(t *testing.T) {
	t.Parallel()
	r := start(t, "HANDOVER_PROBATION=2s")
	final := r.Watch(func(line string) bool { return strings.Contains(line, "serving: the handover is final") })
	defer final.Forget()
	r.want(0, []string{"upgrade", "--wait=false"}, `begun +attempt 1\n$`)
	r.want(1, []string{"upgrade"}, `a handover is under way: attempt 1`, `status --watch`)
	if _, err := final.Line(r.ctx); err != nil {
		r.t.Fatal(err)
	}
	r.serves(2)
}

func TestBadBuildsEndWithTheirExitCodes(t *testing.T) {
	t.Parallel()
	r := start(t, "HANDOVER_PROBATION=3s", "HANDOVER_READY_TIMEOUT=2s")
	serving := r.PID()
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("not a program"), 0o755); err != nil {
		t.Fatal(err)
	}
	r.want(10, []string{"upgrade", "--binary", text}, `unfit to be started`)
	r.want(12, []string{"upgrade", "--binary", flawed(t, "exit")}, `aborted +generation 1`, `exit status 1`, `goes on as it was`)
	r.want(12, []string{"upgrade", "--binary", flawed(t, "check")}, `does not feel well`)
	r.want(13, []string{"upgrade", "--binary", flawed(t, "hang")}, `not ready in time`)
	r.want(11, []string{"upgrade", "--binary", flawed(t, "late")}, `resumed +generation 1`, `exit status 3`)
	r.serves(1)
	if pid := r.PID(); pid != serving {
		t.Errorf("process %d serves, want %d", pid, serving)
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
