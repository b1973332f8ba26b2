//go:build debian

package recipes

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/test/internal/control"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds a test.
const patience = 10 * time.Minute

// kept is a program under test, and its keeper.
type kept struct {
	t        *testing.T
	ctx      context.Context
	address  string
	takeover string // path of the keeper's socket
	state    string // directory of the keeper
	releases string // directory of releases, by number
	template string // file of testdata
	name     string // of the service, where an agent keeps it
	latest   int
	output   *os.File
}

// keep starts a program of a recipe, and waits until it serves. Its command may speak of PORT, STATE and PREFIX, and runs in the directory
// of its release, which holds the file of testdata.
func keep(t *testing.T, template string, flags []string, command ...string) *kept {
	t.Helper()
	k := prepare(t, template)
	dir := t.TempDir()
	k.state, k.takeover = filepath.Join(dir, "state"), filepath.Join(control.Dir(t), "run", "program.sock")
	cli := handovertest.Build(t, "github.com/handover-go/handover/host/cmd/handover")
	args := []string{"run", "--name", "program", "--state-dir", k.state, "--listen", k.address, "--probation", "500ms", "--ready-timeout", "20s"}
	args = append(append(append(args, flags...), "--"), command...)
	for i := range args {
		args[i] = k.filled(args[i])
	}
	cmd := exec.CommandContext(k.ctx, cli, args...)
	cmd.Dir, cmd.Env = k.release(1), append(os.Environ(), "HANDOVER_RUNTIME_DIR="+filepath.Dir(k.takeover), "GORACE=atexit_sleep_ms=0")
	k.run(cmd, syscall.SIGTERM)
	k.eventually("a service that serves", func() bool {
		reply, err := control.Ask(k.takeover, &wire.Status{}, patience, nil)
		return err == nil && reply.Status != nil && reply.Status.State == "serving"
	})
	return k
}

// prepare has an address, and the first release.
func prepare(t *testing.T, template string) *kept {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience) // which outlives the test's own, as ends are awaited
	t.Cleanup(cancel)
	k := &kept{t: t, ctx: ctx, address: handovertest.FreeAddress(t), releases: open(t), template: template}
	k.renew()
	return k
}

// open is a directory that other users may read, as workers of nginx are.
func open(t *testing.T) string {
	t.Helper()
	dir := control.Dir(t)
	must(t, os.Chmod(dir, 0o755))
	return dir
}

// run starts a process of the test, which is told to end by a signal.
func (k *kept) run(cmd *exec.Cmd, end syscall.Signal) {
	k.t.Helper()
	output, err := os.CreateTemp(k.t.TempDir(), "output")
	must(k.t, err)
	k.output = output
	cmd.Stdout, cmd.Stderr = output, output
	must(k.t, cmd.Start())
	k.t.Cleanup(func() {
		defer output.Close()
		must(k.t, cmd.Process.Signal(end))
		err := cmd.Wait()
		if err != nil || k.t.Failed() {
			k.t.Errorf("the keeper: %v\n%s", err, k.said())
		}
	})
}

func (k *kept) said() string {
	text, _ := os.ReadFile(k.output.Name())
	return string(text)
}

// renew makes the next release out of the file in testdata, and returns its directory.
func (k *kept) renew(changes ...string) string {
	k.t.Helper()
	k.latest++
	dir := k.release(k.latest)
	must(k.t, os.Mkdir(dir, 0o755))
	text, err := os.ReadFile(filepath.Join("testdata", k.template))
	must(k.t, err)
	version := strconv.Itoa(k.latest)
	changes = append(changes, "VERSION = 1", "VERSION = "+version, "$pid 1", "$pid "+version, "127.0.0.1:7001", k.address)
	must(k.t, os.WriteFile(filepath.Join(dir, k.template), []byte(strings.NewReplacer(changes...).Replace(string(text))), 0o644))
	must(k.t, os.WriteFile(filepath.Join(dir, "version"), []byte(version), 0o644))
	if strings.HasSuffix(k.template, ".java") {
		k.compile(dir)
	}
	return dir
}

// compile compiles the first release, whose classes are those of all.
func (k *kept) compile(dir string) {
	k.t.Helper()
	if k.latest > 1 {
		must(k.t, os.Link(filepath.Join(k.release(1), "Server.class"), filepath.Join(dir, "Server.class")))
		return
	}
	compile := exec.CommandContext(k.ctx, "javac", k.template)
	compile.Dir = dir
	if said, err := compile.CombinedOutput(); err != nil {
		k.t.Fatalf("%v\n%s", err, said)
	}
}

func (k *kept) release(n int) string { return filepath.Join(k.releases, strconv.Itoa(n)) }

func (k *kept) filled(text string) string {
	_, port, _ := strings.Cut(k.address, ":")
	return strings.NewReplacer("PORT", port, "STATE", k.state, "PREFIX", k.releases).Replace(text)
}

// upgrade asks for an upgrade to a release.
func (k *kept) upgrade(dir string) *wire.Reply {
	k.t.Helper()
	reply, err := control.Ask(k.takeover, &wire.Upgrade{Dir: dir, Watch: true}, patience, nil)
	if err != nil {
		k.t.Fatalf("upgrade: %v\n%s", err, k.said())
	}
	return reply
}

// upgraded is an upgrade to the next release, which must be final. It returns when the process before has ended.
func (k *kept) upgraded() {
	k.t.Helper()
	before := k.status().PID
	if reply := k.upgrade(k.renew()); reply.Outcome != "final" || reply.PID == before {
		k.t.Fatalf("%+v, want a final upgrade from process %d to another\n%s", reply, before, k.said())
	}
	k.alone()
}

func (k *kept) alone() {
	k.t.Helper()
	k.eventually("a process alone", func() bool { return len(k.status().Keeper.Generations) == 1 })
}

func (k *kept) status() *wire.ServiceStatus {
	k.t.Helper()
	reply, err := control.Ask(k.takeover, &wire.Status{}, patience, nil)
	if err != nil || reply.Status == nil {
		k.t.Fatalf("status: %+v, %v\n%s", reply, err, k.said())
	}
	return reply.Status
}

// again is the pause between two looks at what nothing tells of.
const again = 10 * time.Millisecond

func (k *kept) eventually(what string, seen func() bool) {
	k.t.Helper()
	for !seen() {
		select {
		case <-time.After(again):
		case <-k.ctx.Done():
			k.t.Fatalf("no %s\n%s", what, k.said())
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
