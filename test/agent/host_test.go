//go:build linux

// Package agent holds the host agent to what it promises, with built programs, real releases, real traffic and real deaths.
package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/host/control"
	"github.com/handover-go/handover/host/service"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/test/internal/executable"
)

// patience bounds everything that is waited for, in one test.
const patience = 90 * time.Second

// host is a host with an agent, in a directory of its own.
type host struct {
	t         *testing.T
	ctx       context.Context
	dir       string
	handover  string // the program
	program   string // of services
	services  []string
	agent     *exec.Cmd
	ended     chan struct{}
	control   string // lines of the configuration
	successor int    // of the agent that was started
	client    *control.Client
}

// newHost makes a host. Its agent is not started.
func newHost(t *testing.T) *host {
	t.Helper()
	handover, program := handovertest.Build(t, "../../host/cmd/handover"), handovertest.Build(t, "./service") // ahead of all that has a deadline
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	dir, err := os.MkdirTemp("", "agent-") // short enough for a socket
	must(t, err)
	h := &host{t: t, ctx: ctx, dir: dir, handover: handover, program: program}
	h.run("release", "keygen", "--no-passphrase", h.path("ci"))
	t.Cleanup(h.clear)
	return h
}

// newShop is a host whose agent keeps release 1.0.0 of a shop, by that policy, at address.
func newShop(t *testing.T, policy string) (h *host, address string, s control.Service) {
	t.Helper()
	h, address = newHost(t), handovertest.FreeAddress(t)
	h.release("shop", "1.0.0", "")
	h.configure(h.shop("shop", address, policy))
	h.start()
	return h, address, h.awaits("shop", "running")
}

func (h *host) path(elements ...string) string {
	return filepath.Join(append([]string{h.dir}, elements...)...)
}

// release makes and signs one of a service, with a flaw or none, and returns where it lies.
func (h *host) release(name, version, flaw string) string {
	h.t.Helper()
	dir := h.path("ci-releases", name+"-"+version)
	must(h.t, os.MkdirAll(dir, 0o755))
	content, err := os.ReadFile(h.program)
	must(h.t, err)
	executable.Write(h.t, filepath.Join(dir, name), content, 0o755)
	if flaw != "" {
		must(h.t, os.WriteFile(filepath.Join(dir, "flaw"), []byte(flaw), 0o644))
	}
	h.run("release", "sign", "--key", h.path("ci"), "--name", name, "--version", version, "--command", name, dir)
	return dir
}

// configure writes the agent's configuration: of the services, each begins with its name.
func (h *host) configure(services ...string) {
	h.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "runtime: %s\nstate: %s\nlog: %s\n%sservices:\n", h.path("run"), h.path("state"), h.path("log"), h.control)
	h.services = nil
	for _, s := range services {
		name, _, _ := strings.Cut(s, "\n")
		h.services = append(h.services, name)
		fmt.Fprintf(&b, "  - name: %s\n", strings.TrimRight(strings.ReplaceAll(s, "\n", "\n    "), " "))
	}
	must(h.t, os.WriteFile(h.path("agent.yaml.next"), []byte(b.String()), 0o644))
	must(h.t, os.Rename(h.path("agent.yaml.next"), h.path("agent.yaml")))
}

// shop is the configuration of a service with releases.
func (h *host) shop(name, address, policy string) string {
	return fmt.Sprintf(`%s
env: {ADDR: "%s", GORACE: atexit_sleep_ms=0, HANDOVERTEST_LEDGER: "%s"}
release: {source: %s, keys: [%s]}
checks:
  - http: http://%s/healthz
    interval: 200ms
    failures: 10
policy: {%s}`, name, address, h.ledger(), h.path("ci-releases", name+"-1.0.0"), h.path("ci.pub"), address, policy)
}

// ledger is where the services record whom they have accepted.
func (h *host) ledger() string {
	must(h.t, os.MkdirAll(h.path("ledger"), 0o777))
	return h.path("ledger")
}

// start starts the agent, and waits until it answers.
func (h *host) start() {
	h.t.Helper()
	h.agent = exec.Command(h.handover, "agent", "--config", h.path("agent.yaml"))
	h.agent.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	log, err := os.OpenFile(h.path("agent.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) // which its successors write to as well
	must(h.t, err)
	defer log.Close()
	h.agent.Stdout, h.agent.Stderr = log, log
	h.agent.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	must(h.t, h.agent.Start())
	ended := make(chan struct{})
	h.ended = ended
	go func() {
		defer close(ended)
		_ = h.agent.Wait()
	}()
	h.eventually("the agent answers", func() (any, bool) {
		c, err := control.Dial(h.path("run-agent", "agent.sock"), control.Options{})
		if err != nil {
			return err, false
		}
		_, err = c.Agent(h.ctx)
		h.client = c
		return err, err == nil
	})
}

// patience gives the test so much time from now on.
func (h *host) patience(d time.Duration) {
	ctx, cancel := context.WithTimeout(h.t.Context(), d)
	h.t.Cleanup(cancel)
	h.ctx = ctx
}

// pass lets time pass.
func (h *host) pass(d time.Duration) {
	select {
	case <-time.After(d):
	case <-h.ctx.Done():
		h.t.Fatal(h.ctx.Err())
	}
}

// replace has an agent hand over to its next build, and waits until it has ended.
func (h *host) replace(pid int) {
	h.t.Helper()
	p, err := platform.OpenPidfd(pid)
	must(h.t, err)
	defer p.Close()
	must(h.t, p.Signal(syscall.SIGUSR2))
	if err := p.Wait(h.ctx); err != nil {
		h.t.Fatalf("agent %d has not handed over: %v\n%s", pid, err, h.logs())
	}
}

// processes are all that live and run a program of this host's services, or keep one: their command lines name its directory. The agent is none
// of them.
func (h *host) processes() (pids []int) {
	entries, err := os.ReadDir("/proc")
	must(h.t, err)
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		line, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if bytes.Contains(line, []byte(h.path("state", "services"))) {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

// kill ends the agent as kill -9 does.
func (h *host) kill() {
	h.t.Helper()
	must(h.t, h.agent.Process.Kill())
	<-h.ended
}

// serve waits until a service is in a state.
func (h *host) awaits(name, state string) control.Service {
	h.t.Helper()
	var s control.Service
	h.eventually(name+" is "+state, func() (any, bool) {
		var err error
		s, err = h.client.Service(h.ctx, name)
		return fmt.Sprintf("%+v, %v", s, err), err == nil && s.State == state
	})
	return s
}

// run runs the command line, which must succeed.
func (h *host) run(args ...string) string {
	h.t.Helper()
	out, err := exec.CommandContext(h.ctx, h.handover, args...).CombinedOutput()
	if err != nil {
		h.t.Fatalf("handover %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// eventually waits until look says so.
func (h *host) eventually(what string, look func() (any, bool)) {
	h.t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		saw, ok := look()
		if ok {
			return
		}
		select {
		case <-again.C:
		case <-h.ctx.Done():
			h.t.Fatalf("not seen in time: %s; last %v\n%s", what, saw, h.logs())
		}
	}
}

// logs are those of the agent, the keepers and the services.
func (h *host) logs() string {
	var b strings.Builder
	files, _ := filepath.Glob(h.path("log", "*", "*.log"))
	for _, f := range append([]string{h.path("agent.log")}, files...) {
		content, _ := os.ReadFile(f)
		fmt.Fprintf(&b, "%s:\n%s\n", f, last(string(content), 4000))
	}
	return b.String()
}

func last(s string, n int) string { return s[max(0, len(s)-n):] }

// family are the processes of a service that live, its keeper first.
func (h *host) family(name string) (pids []int) {
	c, err := service.Dial(h.ctx, h.path("run"), name)
	if err != nil {
		return nil
	}
	defer c.Close()
	st, err := c.Status(h.ctx)
	if err != nil || st.Keeper == nil {
		return nil
	}
	pids = append(pids, st.Keeper.PID)
	for _, g := range st.Keeper.Generations {
		pids = append(pids, g.PID)
	}
	return pids
}

// clear ends all that the host runs, and shows what was logged if the test has failed.
func (h *host) clear() {
	if h.agent != nil && h.agent.Process != nil {
		_ = h.agent.Process.Kill()
		<-h.ended
	}
	if h.successor > 0 {
		_ = syscall.Kill(h.successor, syscall.SIGKILL)
	}
	if h.t.Failed() {
		h.t.Log(h.logs())
	}
	for _, name := range h.services {
		pids := h.deadline(name)
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		for _, pid := range pids {
			if p, err := platform.OpenPidfd(pid); err == nil {
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				_ = p.Wait(ctx)
				cancel()
				p.Close()
			}
		}
	}
	_ = os.RemoveAll(h.dir)
}

// deadline is family when the test's own time may be over.
func (h *host) deadline(name string) []int {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	before := h.ctx
	h.ctx = ctx
	defer func() { h.ctx = before }()
	return h.family(name)
}

// upgrade asks for one, and waits for its end.
func (h *host) upgrade(name string, r control.UpgradeRequest) control.Upgrade {
	h.t.Helper()
	r.Wait = false
	u, err := h.client.Upgrade(h.ctx, name, r)
	if err != nil {
		h.t.Fatalf("upgrade %s: %v\n%s", name, err, h.logs())
	}
	return h.await(u)
}

func (h *host) await(u control.Upgrade) control.Upgrade {
	h.t.Helper()
	u, err := h.client.Await(h.ctx, u.Service, u.Number, nil)
	if err != nil && !u.Over() {
		h.t.Fatalf("await %s: %v\n%s", u.ID, err, h.logs())
	}
	return u
}

// drive puts a service under load.
func (h *host) drive(address string, clients handovertest.Clients) *handovertest.Driver {
	h.t.Helper()
	d, err := handovertest.Drive(h.ctx, handovertest.Load{
		Address: address, Clients: clients, Quiet: [2]time.Duration{time.Second, 2 * time.Second}, Timeout: time.Minute, Ledger: h.ledger(),
	})
	must(h.t, err)
	return d
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func asJSON(v any) string {
	b, err := json.MarshalIndent(v, "", "  ")
	return string(b) + fmt.Sprint(errors.Join(err))
}
