//go:build linux

package agent

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/host/control"
	"github.com/handover-go/handover/test/internal/count"
)

// TestAgentKilledAtRandomInstants of upgrades under load: 100 times with HANDOVER_COUNT=full. The service never stops answering; the agent that comes
// next finishes or undoes what was under way, and says truly which; no process is started twice, and none is left behind.
func TestAgentKilledAtRandomInstants(t *testing.T) {
	t.Parallel()
	seed, err := strconv.ParseUint(os.Getenv("HANDOVER_SEED"), 10, 64)
	if err != nil {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	rounds := count.Of(3, 100)
	h := newHost(t)
	h.patience(time.Duration(rounds)*10*time.Second + patience)
	address := handovertest.FreeAddress(t)
	releases := []string{h.release("shop", "1.0.0", ""), h.release("shop", "1.0.1", ""), h.release("shop", "1.0.2", "sick 0s")}
	h.configure(h.shop("shop", address, "probation: 500ms, bake: 1s, drain_timeout: 5s"))
	h.start()
	first := h.awaits("shop", "running")
	load := h.drive(address, crowd)
	ended := map[string]int{}
	for n := range rounds {
		before := h.awaits("shop", "running")
		to := releases[random.IntN(len(releases))]
		u, err := h.client.Upgrade(h.ctx, "shop", control.UpgradeRequest{Source: to, AllowOlder: true, Key: "round " + strconv.Itoa(n)})
		if err != nil {
			t.Fatalf("round %d: %v", n, err)
		}
		h.pass(time.Duration(random.Int64N(int64(3 * time.Second))))
		h.kill()
		h.start()
		u = h.await(u)
		after := h.awaits("shop", "running")
		ended[u.State]++
		serves := map[string]string{"kept": u.To, "returned": u.From, "resumed": u.From, "aborted": u.From}[u.State]
		if serves == "" || after.Release != serves {
			t.Errorf("round %d: %s, and %q serves after %q\n%s", n, asJSON(u), after.Release, before.Release, h.logs())
		}
		if after.Keeper.PID != first.Keeper.PID {
			t.Errorf("round %d: keeper %d, it was %d", n, after.Keeper.PID, first.Keeper.PID)
		}
		again, err := h.client.Upgrade(h.ctx, "shop", control.UpgradeRequest{Source: to, AllowOlder: true, Key: "round " + strconv.Itoa(n)})
		if err != nil || again.Number != u.Number {
			t.Errorf("round %d: asked again with the same key: %d, %v; want %d", n, again.Number, err, u.Number)
		}
	}
	t.Logf("%d upgrades ended: %v", rounds, ended)
	report := load.Stop()
	t.Logf("%s", report)
	handovertest.AssertNothingLost(t, report)
	h.eventually("one generation and its keeper", func() (any, bool) {
		known, live := h.family("shop"), h.processes()
		slices.Sort(known)
		return []any{known, live}, len(known) == 2 && slices.Equal(known, live)
	})
}

// TestAgentIsReplacedUnderLoad, ten times with HANDOVER_COUNT=full, with five services: none of them notices.
func TestAgentIsReplacedUnderLoad(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	var services []string
	addresses := map[string]string{}
	for _, name := range []string{"one", "two", "three", "four", "five"} {
		addresses[name] = handovertest.FreeAddress(t)
		h.release(name, "1.0.0", "")
		services = append(services, h.shop(name, addresses[name], "probation: 500ms, bake: 1s, drain_timeout: 5s"))
	}
	h.configure(services...)
	h.start()
	before := map[string][]int{}
	var loads []*handovertest.Driver
	for _, name := range h.services {
		h.awaits(name, "running")
		before[name] = h.family(name)
		loads = append(loads, h.drive(addresses[name], handovertest.Clients{KeepAlive: 2, New: 1, Idle: 1}))
	}
	last, err := h.client.Agent(h.ctx)
	must(t, err)
	for n := range count.Of(3, 10) {
		h.replace(last.PID)
		h.eventually("another agent answers", func() (any, bool) {
			a, err := h.client.Agent(h.ctx)
			if err != nil || a.PID == last.PID {
				return err, false
			}
			last, h.successor = a, a.PID
			return a, true
		})
		h.eventually("it keeps all services", func() (any, bool) {
			all, err := h.client.Services(h.ctx)
			running := 0
			for _, s := range all {
				if s.State == "running" {
					running++
				}
			}
			return err, running == len(services)
		})
		t.Logf("%d: process %d", n+1, last.PID)
	}
	for _, l := range loads {
		handovertest.AssertNothingLost(t, l.Stop())
	}
	for _, name := range h.services {
		if after := h.family(name); !slices.Equal(after, before[name]) {
			t.Errorf("%s: processes %v, they were %v", name, after, before[name])
		}
	}
}
