//go:build linux

package agent

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/procfs"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/host/control"
	"github.com/handover-go/handover/test/internal/count"
)

// TestManyServicesOfOneHost are started, upgraded and stopped: a hundred with HANDOVER_COUNT=full. The agent's anonymous memory stays below 40 MiB,
// and it takes less than half a percent of a processor when nothing happens.
func TestManyServicesOfOneHost(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.patience(10 * time.Minute)
	many := count.Of(5, 100)
	var services []string
	for n := range many {
		name := fmt.Sprintf("s%03d", n)
		h.release(name, "1.0.0", "")
		s := h.shop(name, handovertest.FreeAddress(t), "probation: 300ms, bake: 500ms, drain_timeout: 5s")
		services = append(services, strings.Replace(s, "interval: 200ms", "interval: 30s", 1))
	}
	h.configure(services...)
	began := time.Now()
	h.start()
	h.all("running", many)
	started := time.Since(began)

	for n := range many {
		h.release(fmt.Sprintf("s%03d", n), "1.1.0", "")
	}
	began = time.Now()
	var wait sync.WaitGroup
	for _, name := range h.services {
		wait.Go(func() {
			u, err := h.client.Upgrade(h.ctx, name, control.UpgradeRequest{Source: h.path("ci-releases", name+"-1.1.0")})
			if err == nil {
				u, err = h.client.Await(h.ctx, name, u.Number, nil)
			}
			if err != nil || u.State != "kept" {
				t.Errorf("%s: %v, %s", name, err, asJSON(u))
			}
		})
	}
	wait.Wait()
	upgraded := time.Since(began)

	pid := h.agent.Process.Pid
	before := processorTime(t, pid)
	rest := time.Duration(count.Of(1, 30)) * time.Second
	h.pass(rest)
	idle := (processorTime(t, pid) - before) / rest.Seconds()
	memory := anonymous(t, pid)
	if count.Full() && (memory > 40<<20 || idle > 0.005) { // not with the race detector, which has a multiple of both
		t.Errorf("the agent has %d bytes of anonymous memory, and takes %.2f %% of a processor when idle", memory, 100*idle)
	}
	t.Logf("%d services: started in %s, upgraded in %s; the agent has %.1f MiB of anonymous memory, and takes %.2f %% of a processor when idle",
		many, started.Round(time.Millisecond), upgraded.Round(time.Millisecond), float64(memory)/(1<<20), 100*idle)

	h.lookedAt(many)

	began = time.Now()
	h.run("stop", "--all", "--agent", h.path("run-agent", "agent.sock"))
	h.all("stopped", many)
	t.Logf("stopped in %s", time.Since(began).Round(time.Millisecond))
	if left := h.processes(); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
}

// lookedAt stops all keepers for a while: how the services are takes no longer to be told than of one, and so nobody waits in vain.
func (h *host) lookedAt(many int) {
	h.t.Helper()
	all, err := h.client.Services(h.ctx)
	must(h.t, err)
	for _, s := range all {
		must(h.t, syscall.Kill(s.Keeper.PID, syscall.SIGSTOP))
		defer func() { must(h.t, syscall.Kill(s.Keeper.PID, syscall.SIGCONT)) }()
	}
	h.pass(1100 * time.Millisecond) // what is known for a second is not asked for
	began := time.Now()
	all, err = h.client.Services(h.ctx)
	if took := time.Since(began); err != nil || len(all) != many || took > 7*time.Second { // two seconds for one
		h.t.Errorf("after %s: %d services, %v", took, len(all), err)
	}
}

// all waits until all services are in a state.
func (h *host) all(state string, many int) {
	h.t.Helper()
	h.eventually("all services are "+state, func() (any, bool) {
		all, err := h.client.Services(h.ctx)
		n := 0
		for _, s := range all {
			if s.State == state {
				n++
			}
		}
		return fmt.Sprint(n, err), n == many
	})
}

// processorTime of a process, in seconds.
func processorTime(t *testing.T, pid int) float64 {
	t.Helper()
	p, err := procfs.NewProc(pid)
	must(t, err)
	stat, err := p.Stat()
	must(t, err)
	return stat.CPUTime()
}

var rssAnon = regexp.MustCompile(`RssAnon:\s+(\d+) kB`)

// anonymous memory of a process, in bytes.
func anonymous(t *testing.T, pid int) int {
	t.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	found := rssAnon.FindSubmatch(content)
	if found == nil {
		t.Fatalf("no RssAnon in\n%s", content)
	}
	kib, err := strconv.Atoi(string(found[1]))
	must(t, err)
	return kib << 10
}
