//go:build debian

package container

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/handover-go/handover/handovertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	commandTimeout = time.Minute
	eventTimeout   = 30 * time.Second
)

// container is one whose process 1 is a keeper.
type container struct {
	t      *testing.T
	dir    string // the bundle, and the volumes app and share
	id     string
	run    *exec.Cmd
	output bytes.Buffer // of process 1 and of the service; to be read when it has ended
	ended  context.Context
	code   int // valid then
}

// static builds a program for a root without a C library.
func static(t *testing.T, pkg, ldflags string) string {
	t.Helper()
	return handovertest.Build(t, pkg, "-tags=netgo,osusergo", "-ldflags=-linkmode=external -extldflags=-static "+ldflags)
}

// start runs a container, and returns when its service is active. Its root is read-only; more mounts and variables may give it
// a directory to write in.
func start(t *testing.T, env []string, mounts ...mount) *container {
	t.Helper()
	dir, err := os.MkdirTemp("", "container-") // short: a unix socket lies in it
	if err != nil {
		t.Fatal(err)
	}
	c := &container{t: t, dir: dir, id: filepath.Base(dir)}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	for _, d := range []string{"rootfs/bin", "rootfs/proc", "rootfs/dev", "rootfs/run", "rootfs/app", "rootfs/share", "rootfs/state", "app", "share"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c.copy(static(t, "github.com/handover-go/handover/host/cmd/handover", ""), "rootfs/bin/handover")
	c.copy(static(t, "./orphan", ""), "rootfs/bin/orphan")
	c.deploy("v1")
	settings := newConfig(
		entrypoint(t),
		append([]string{"ADDR=127.0.0.1:8080,/share/service.sock", "HANDOVER_PROBATION=500ms", "HANDOVERTEST_LEDGER=/share", "GORACE=atexit_sleep_ms=0"}, env...),
		append(mounts,
			mount{"/app", "bind", filepath.Join(dir, "app"), []string{"bind", "ro"}},
			mount{"/share", "bind", filepath.Join(dir, "share"), []string{"bind"}})...,
	)
	b, err := json.Marshal(settings)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "config.json"), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.boot()
	c.await("active", func() bool { code, _ := c.try("handover", "status"); return code == 0 })
	return c
}

func (c *container) boot() {
	c.t.Helper()
	c.run = c.runc("run", "--bundle", c.dir, c.id)
	c.run.Stdout, c.run.Stderr = &c.output, &c.output
	if err := c.run.Start(); err != nil {
		c.t.Fatalf("runc: %v", err)
	}
	var end context.CancelFunc
	c.ended, end = context.WithCancel(context.Background())
	go func() {
		defer end()
		_ = c.run.Wait() // ProcessState has it
		c.code = c.run.ProcessState.ExitCode()
	}()
	c.t.Cleanup(func() {
		if c.ended.Err() == nil {
			_ = c.runc("delete", "--force", c.id).Run()
			<-c.ended.Done()
		}
		if strings.Contains(c.output.String(), "WARNING: DATA RACE") {
			c.t.Error("a data race")
		}
		if c.t.Failed() {
			c.t.Logf("the container said\n%s", &c.output)
		}
	})
}

// runc is a command of runc, which keeps what it knows in the bundle.
func (c *container) runc(args ...string) *exec.Cmd {
	return exec.Command("runc", append([]string{"--root", filepath.Join(c.dir, "runc")}, args...)...)
}

// try runs a command in the container, and returns its exit code and what it said.
func (c *container) try(args ...string) (code int, said string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	plain := c.runc(append([]string{"exec", c.id}, args...)...)
	b, err := exec.CommandContext(ctx, plain.Path, plain.Args[1:]...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		c.t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	if exit != nil {
		code = exit.ExitCode()
	}
	return code, string(b)
}

// exec runs a command in the container that must succeed.
func (c *container) exec(args ...string) string {
	c.t.Helper()
	code, said := c.try(args...)
	if code != 0 {
		c.t.Fatalf("%s: exit %d\n%s", strings.Join(args, " "), code, said)
	}
	return said
}

// condition is what "handover status" says, as far as tests look at it.
type condition struct {
	Generation int
	PID        int // in the container
	Draining   []struct{ PID int }
	Keeper     struct {
		PID, Restarts     int
		Running, Previous string
	}
}

// status asks; a service that is about to be started again is not active, and says so.
func (c *container) status() (s condition) {
	c.t.Helper()
	const active, inactive = 0, 3
	code, said := c.try("handover", "status", "-o", "json")
	if code != active && code != inactive {
		c.t.Fatalf("status: exit %d\n%s", code, said)
	}
	if err := json.Unmarshal([]byte(said), &s); err != nil {
		c.t.Fatalf("status: %v: %s", err, said)
	}
	return s
}

// deploy installs a build in the volume, by rename.
func (c *container) deploy(build string) {
	c.t.Helper()
	c.copy(static(c.t, "../../service", "-X main.build="+build), "app/shop.new")
	if err := os.Rename(filepath.Join(c.dir, "app/shop.new"), filepath.Join(c.dir, "app/shop")); err != nil {
		c.t.Fatal(err)
	}
}

func (c *container) copy(from, to string) {
	c.t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(filepath.Join(c.dir, to), b, 0o755)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// drive loads the service through the socket in the volume.
func (c *container) drive() *handovertest.Driver {
	c.t.Helper()
	driver, err := handovertest.Drive(context.Background(), handovertest.Load{
		Network: "unix", Address: filepath.Join(c.dir, "share/service.sock"), Ledger: filepath.Join(c.dir, "share"),
		Quiet: [2]time.Duration{time.Second, 3 * time.Second}, CountPoliteCloses: true,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { driver.Stop() })
	return driver
}

func (c *container) answeredBy(driver *handovertest.Driver, pid int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), eventTimeout)
	defer cancel()
	if err := driver.WaitPID(ctx, pid); err != nil {
		c.t.Fatal(err)
	}
}

// stop tells the container to end, as its runtime does, and expects that it ends well.
func (c *container) stop() {
	c.t.Helper()
	if err := c.run.Process.Signal(syscall.SIGTERM); err != nil { // runc passes it on to process 1
		c.t.Fatal(err)
	}
	c.awaitEnd(0)
}

func (c *container) awaitEnd(code int) {
	c.t.Helper()
	timer := time.NewTimer(eventTimeout)
	defer timer.Stop()
	select {
	case <-c.ended.Done():
	case <-timer.C:
		c.t.Fatal("the container does not end")
	}
	if c.code != code {
		c.t.Errorf("exit code %d, want %d", c.code, code)
	}
}

// await asks again and again: the kernel tells nobody but its parent of the death of a process in another namespace.
func (c *container) await(what string, is func() bool) {
	c.t.Helper()
	deadline := time.NewTimer(eventTimeout)
	defer deadline.Stop()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for !is() {
		select {
		case <-again.C:
		case <-c.ended.Done():
			c.t.Fatalf("not %s: the container has ended", what)
		case <-deadline.C:
			c.t.Fatalf("not %s", what)
		}
	}
}
