//go:build debian

package systemd

import (
	"context"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/host/control"
)

const (
	agentUnit  = "handover-agent.service"
	agentStart = 30 * time.Second
)

// agentSettings have systemd miss an agent that says nothing for longer than its probation, in less than the bake time of the shop.
const agentSettings = "[Service]\nWatchdogSec=4s\nEnvironment=GORACE=atexit_sleep_ms=0\n"

// configuration, with a bake time, has three services: one that embeds handover, in signed releases, a program of another user that does not, and one
// in a control group of its own whose output goes to the journal.
const configuration = `
services:
  - name: shop
    env: {HANDOVERTEST_LEDGER: ` + ledger + `, GORACE: atexit_sleep_ms=0}
    release: {source: /srv/shop-1.0.0, keys: [/etc/handover/ci.pub]}
    health: {path: /healthz}
    policy: {probation: 200ms, bake: %v}
  - name: plain
    command: [/usr/local/bin/plain]
    user: games
    listen: ["127.0.0.1:9000"]
    health: {path: /}
    after: [shop]
  - name: spoken
    command: [/usr/local/bin/plain, "100"]
    listen: ["127.0.0.1:9001"]
    cgroup: /handover/spoken
    output: {journald: true}
    policy: {probation: 200ms, bake: 100ms}
`

// host is a machine on which the package is installed, and whose agent keeps the services.
type host struct{ *service }

// installHost installs that version, and returns when all services run.
func (m *machine) installHost(version string, bake time.Duration) *host {
	m.t.Helper()
	h := &host{&service{m}}
	m.write("/etc/systemd/system/"+agentUnit+".d/test.conf", []byte(agentSettings), 0o644)
	m.installPackage(version)
	m.copy(static(m.t, "./driver", ""), "/usr/local/bin/driver", 0o755)
	m.copy("testdata/plain.pl", "/usr/local/bin/plain", 0o755)
	m.copy("testdata/asker.pl", "/usr/local/bin/asker", 0o755)
	m.run("mkdir", "-p", ledger)
	m.run("handover", "release", "keygen", "--no-passphrase", "/etc/handover/ci")
	for _, version := range []string{"1.0.0", "1.1.0"} {
		dir := "/srv/shop-" + version
		m.copy(static(m.t, "./service", ""), dir+"/shop", 0o755)
		m.run("handover", "release", "sign", "--key", "/etc/handover/ci", "--name", "shop", "--version", version, "--command", "shop", dir)
	}
	m.write("/etc/handover/agent.yaml", fmt.Appendf(nil, configuration, bake), 0o644)
	m.run("systemctl", "reload", agentUnit)
	h.awaitHost(h.agent())
	return h
}

// agent speaks to the agent of this boot.
func (h *host) agent() *control.Client {
	h.t.Helper()
	c, err := control.Dial(filepath.Join(h.root, "/run/handover-agent/agent.sock"), control.Options{})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(c.Close)
	return c
}

// standing is what must be after whatever befalls the agent as it was before.
type standing struct {
	State, Version, Release string
	PID, Keeper             int
	History                 []control.Upgrade
}

// awaitHost waits until all services run, and tells how they stand.
func (h *host) awaitHost(agent *control.Client) map[string]standing {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), agentStart)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		all, err := h.look(ctx, agent)
		if err == nil && all["shop"].State == "running" && all["plain"].State == "running" && all["spoken"].State == "running" {
			return all
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			h.t.Fatalf("the services do not run: %+v, %v\n%s", all, err, h.run("sh", "-c", "tail -n 20 /var/log/handover/*/*"))
		}
	}
}

func (h *host) look(ctx context.Context, agent *control.Client) (map[string]standing, error) {
	services, err := agent.Services(ctx)
	all := map[string]standing{}
	for _, s := range services {
		one := standing{State: s.State, Version: s.Version, Release: s.Release, PID: s.PID}
		if s.Keeper != nil {
			one.Keeper = s.Keeper.PID
		}
		if one.History, err = agent.History(ctx, s.Name, 0); err != nil {
			return nil, err
		}
		all[s.Name] = one
	}
	return all, err
}

// upgrade has the agent upgrade the shop.
func (h *host) upgrade(agent *control.Client, version string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), upgradeTimeout)
	defer cancel()
	u, err := agent.Upgrade(ctx, "shop", control.UpgradeRequest{Source: "/srv/shop-" + version, Wait: true})
	if err != nil || u.State != "kept" {
		h.t.Fatalf("upgrade: %v, %+v", err, u)
	}
}

// expectAsBefore expects that the services go on in the processes that they had.
func (h *host) expectAsBefore(what string, agent *control.Client, before map[string]standing) {
	h.t.Helper()
	if now := h.awaitHost(agent); !reflect.DeepEqual(now, before) {
		h.t.Errorf("%s: the services stand otherwise:\n%+v\nbefore\n%+v", what, now, before)
	}
}

// agentPID is the agent by systemd's account.
func (h *host) agentPID() int {
	h.t.Helper()
	pid, err := strconv.Atoi(h.run("systemctl", "show", "--value", "--property=MainPID", agentUnit))
	if err != nil || pid == 0 {
		h.t.Fatalf("MainPID of the agent: %d, %v", pid, err)
	}
	return pid
}

func TestAgentOfThePackageIsUpgradedKilledRestartedAndTheServicesNoticeNothing(t *testing.T) {
	t.Parallel()
	h := boot(t).installHost("1.0", 5*time.Second)
	agent := h.agent()
	load, asked := h.drive(), h.begin("asker", "127.0.0.1:9000", "/run/asked")
	h.expectSpoken(agent)
	before := h.awaitHost(agent)
	first := h.agentPID()
	h.installGarbage("1.0.1")
	if pid := h.agentPID(); pid != first {
		t.Errorf("after the upgrade to a bad package: agent %d, not %d as before", pid, first)
	}
	h.installPackage("1.1")
	h.awaitOf(agentUnit, "MainPID", func(pid string) bool { return pid != strconv.Itoa(first) })
	second := h.agentPID()
	h.expectAsBefore("upgrade of the package", agent, before)
	h.upgrade(agent, "1.1.0")
	h.expectAgent("active", 0)

	before = h.awaitHost(agent)
	mark := h.journal.mark()
	upgrade := h.begin("handover", "upgrade", "handover-agent")
	h.journal.await(mark, "on probation", contains("serving on probation"), upgradeTimeout)
	h.run("kill", "-KILL", strconv.Itoa(second))
	if code, said := upgrade(); code == 0 {
		t.Errorf("the upgrade of an agent that was killed: %s", said)
	}
	h.expectAsBefore("kill -9 of the agent in probation", agent, before) // by the next, which serves on
	h.journal.await(mark, "taken over by the agent that systemd starts", contains("serving: the handover is final"), upgradeTimeout)
	h.expectAsBefore("the agent beside the one that had served on", agent, before)
	h.expectAgent("active", 1)

	h.run("kill", "-KILL", strconv.Itoa(h.agentPID()))
	h.expectAsBefore("kill -9 of the agent", agent, before) // who asks waits until the next agent answers
	h.expectAgent("active", 2)
	h.run("systemctl", "restart", agentUnit)
	h.expectAsBefore("restart of the agent", agent, before)

	h.run("touch", "/run/asked")
	if code, said := asked(); code != 0 {
		t.Errorf("the program that embeds nothing: %s", said)
	}
	handovertest.AssertNothingLost(t, load.stop())
}

// expectSpoken upgrades the service that speaks to the journal, and expects there all that either process has said, in order; and both in its group.
func (h *host) expectSpoken(agent *control.Client) {
	h.t.Helper()
	pids := []int{h.awaitHost(agent)["spoken"].PID}
	ctx, cancel := context.WithTimeout(context.Background(), upgradeTimeout)
	defer cancel()
	if u, err := agent.Upgrade(ctx, "spoken", control.UpgradeRequest{Wait: true}); err != nil || u.State != "kept" {
		h.t.Fatalf("upgrade: %v, %+v", err, u)
	}
	pids = append(pids, h.awaitHost(agent)["spoken"].PID)
	for i, last := range []string{"has ended", "says 100"} {
		says := fmt.Sprintf("plain %d %s", pids[i], last)
		h.journal.await(0, says, contains(says), upgradeTimeout)
	}
	said := strings.Split(h.run("journalctl", "--boot", "-t", "spoken", "--output=cat"), "\n")
	for i, pid := range pids {
		var want, got []string
		for n := range 100 {
			want = append(want, fmt.Sprintf("plain %d says %d", pid, n+1))
		}
		if i == 0 {
			want = append(want, fmt.Sprintf("plain %d has ended", pid))
		}
		for _, line := range said {
			if strings.HasPrefix(line, fmt.Sprintf("plain %d ", pid)) {
				got = append(got, line)
			}
		}
		if !slices.Equal(got, want) {
			h.t.Errorf("process %d has said %q", pid, got)
		}
	}
	groups := strings.Split(h.run("cat", fmt.Sprintf("/proc/%d/cgroup", pids[1])), "\n")
	if !slices.Contains(groups, "0::/handover/spoken") {
		h.t.Errorf("the service is in the control groups %q", groups)
	}
}

// expectAgent waits for a state of the agent, and expects that systemd has started so many after the first.
func (h *host) expectAgent(state string, restarts int) {
	h.t.Helper()
	h.awaitOf(agentUnit, "ActiveState", func(got string) bool { return got == state })
	if got := h.run("systemctl", "show", "--value", "--property=NRestarts", agentUnit); got != strconv.Itoa(restarts) {
		h.t.Errorf("the agent was restarted %s times, want %d", got, restarts)
	}
}

func TestRebootBringsBackWhatRan(t *testing.T) {
	t.Parallel()
	h := boot(t).installHost("1.0", time.Second)
	agent := h.agent()
	h.upgrade(agent, "1.1.0")
	before := h.awaitHost(agent)
	h.reboot()

	// Each was ended gracefully, before the network went, and the one that comes after the other first.
	ended := map[string]time.Time{}
	for name, says := range map[string]string{"shop": "service ended", "plain": "plain [0-9]* has ended"} {
		file := h.run("sh", "-c", "grep -l '"+says+"' /var/log/handover/"+name+"/* | tail -n 1")
		seconds, err := strconv.ParseFloat(h.run("date", "+%s.%N", "--reference="+file), 64)
		if err != nil {
			t.Fatal(err)
		}
		ended[name] = time.UnixMicro(int64(seconds * 1e6))
	}
	if !ended["plain"].Before(ended["shop"]) {
		t.Errorf("the shop has ended at %v, and what comes after it at %v", ended["shop"], ended["plain"])
	}

	after := h.awaitHost(h.agent())
	for name, was := range before {
		is := after[name]
		if is.PID == was.PID || is.Keeper == was.Keeper {
			t.Logf("%s: the process numbers are by chance as before", name)
		}
		is.PID, is.Keeper = was.PID, was.Keeper
		if !reflect.DeepEqual(is, was) {
			t.Errorf("%s: %+v\nbefore the reboot %+v", name, is, was)
		}
	}
	handovertest.AssertNothingLost(t, h.drive().stop())
}

func TestRemovedPackageEndsTheServicesAndAPurgedOneForgetsThem(t *testing.T) {
	t.Parallel()
	h := boot(t).installHost("1.0", time.Second)
	before := h.awaitHost(h.agent())
	h.run("systemctl", "stop", "handover-agent.socket", agentUnit)
	h.installPackage("1.1")
	if code, state := h.begin("systemctl", "is-active", agentUnit)(); code == 0 {
		t.Errorf("the upgrade has started an agent that was stopped by hand: %s", state)
	}
	t.Log(h.run("dpkg", "--remove", "handover"))
	h.expectNoProcess()

	h.installPackage("1.1")
	after := h.awaitHost(h.agent())
	if after["shop"].Release != before["shop"].Release {
		t.Errorf("installed again: %+v, before %+v", after["shop"], before["shop"])
	}

	t.Log(h.run("dpkg", "--purge", "handover"))
	h.expectNoProcess()
	left := h.run("find", "/var/lib", "/var/log", "/run", "/etc", "-path", "*handover*", "-not", "-path", "/etc/handover/ci*", "-not", "-path", "*.d/test.conf")
	for file := range strings.Lines(left) {
		if f := strings.TrimSpace(file); f != "/etc/handover" && f != "/etc/systemd/system/"+agentUnit+".d" && !strings.HasPrefix(f, "/var/lib/dpkg/") {
			t.Errorf("left: %s", f)
		}
	}
}

func (h *host) expectNoProcess() {
	h.t.Helper()
	if left := h.run("sh", "-c", "pgrep -l 'handover|shop|plain' || true"); left != "" {
		h.t.Errorf("processes are left: %s", left)
	}
}
