//go:build linux

package agent

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/host/control"
	"github.com/handover-go/handover/host/supervise"
	"github.com/handover-go/handover/keeper"
	"github.com/handover-go/handover/test/internal/executable"
)

// TestArgumentsAndEnvironmentHoldFromTheNextUpgradeOn, for as long as that build serves, and a return brings back those of the build before. What is
// in the environment is in no log and no record.
func TestArgumentsAndEnvironmentHoldFromTheNextUpgradeOn(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	address := handovertest.FreeAddress(t)
	h.release("shop", "1.0.0", "")
	configure := func(arg, colour string, files int) {
		conf := strings.Replace(h.shop("shop", address, "probation: 300ms, bake: 30s, drain_timeout: 5s"), "env: {", "env: {COLOUR: "+colour+", ", 1)
		h.configure(fmt.Sprintf("%s\nargs: [%s]\nlimits: {nofile: %d}", conf, arg, files))
	}
	configure("one", "secret-red", 1000)
	h.start()
	h.awaits("shop", "running")
	const red, blue = "one colour=secret-red files=1000", "two colour=secret-blue files=900"
	before := h.startedAs(address, red)

	configure("two", "secret-blue", 900)
	r, err := h.client.Reload(h.ctx)
	must(t, err)
	if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "args, env, limits: holds from the next upgrade on") {
		t.Errorf("a reload warns of %q", r.Warnings)
	}
	h.awaits("shop", "running")
	if pid := h.startedAs(address, red); pid != before {
		t.Errorf("process %d serves after the reload, before it %d", pid, before)
	}
	p, err := h.client.Plan(h.ctx, "shop", control.UpgradeRequest{Release: "1.0.0"})
	must(t, err)
	if p.Refused != "" || !strings.Contains(strings.Join(p.Steps, "\n"), "args, env COLOUR, limits") {
		t.Errorf("planned %s", asJSON(p))
	}

	u, err := h.client.Upgrade(h.ctx, "shop", control.UpgradeRequest{}) // to the release that serves already
	must(t, err)
	h.awaits("shop", "baking")
	h.startedAs(address, blue)
	_, err = h.client.Abort(h.ctx, "shop", "not so")
	must(t, err)
	if u = h.await(u); u.State != "returned" {
		t.Errorf("%s", asJSON(u))
	}
	returned := h.startedAs(address, red)
	must(t, syscall.Kill(returned, syscall.SIGKILL))
	if pid := h.startedAs(address, red); pid == returned {
		t.Errorf("process %d serves still", pid)
	}

	u, err = h.client.Upgrade(h.ctx, "shop", control.UpgradeRequest{Source: h.release("shop", "1.1.0", "")})
	must(t, err)
	h.awaits("shop", "baking")
	_, err = h.client.Promote(h.ctx, "shop")
	must(t, err)
	if u = h.await(u); u.State != "kept" {
		t.Errorf("%s", asJSON(u))
	}
	kept := h.startedAs(address, blue)
	must(t, syscall.Kill(kept, syscall.SIGKILL))
	h.startedAs(address, blue)
	if p, err = h.client.Plan(h.ctx, "shop", control.UpgradeRequest{Release: "1.1.0"}); err != nil || p.Refused == "" {
		t.Errorf("the release that serves as it is configured: %v, planned %s", err, asJSON(p))
	}
	h.toldNowhere("secret-red", "secret-blue")
}

// startedAs waits until a service tells that it was started so, and returns its process.
func (h *host) startedAs(address, how string) (pid int) {
	h.t.Helper()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	h.eventually("it was started as "+how, func() (any, bool) {
		r, err := client.Get("http://" + address + "/started")
		if err != nil {
			return err, false
		}
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		number, rest, _ := strings.Cut(string(body), " ")
		_, scanned := fmt.Sscan(number, &pid)
		return string(body), err == nil && scanned == nil && rest == how
	})
	return pid
}

// toldNowhere looks for secrets in all that the agent, the keepers and the services have written.
func (h *host) toldNowhere(secrets ...string) {
	h.t.Helper()
	looked := 0
	for _, dir := range []string{"log", "state", "agent.log"} {
		must(h.t, filepath.WalkDir(h.path(dir), func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || strings.HasPrefix(path, h.path("state", "services")) {
				return err
			}
			looked++
			content, err := os.ReadFile(path)
			for _, s := range secrets {
				if bytes.Contains(content, []byte(s)) {
					h.t.Errorf("%q stands in %s", s, path)
				}
			}
			return err
		}))
	}
	if looked < 4 {
		h.t.Errorf("only %d files were looked at", looked)
	}
}

// TestServiceThatIsWatchedIsUpgradedToWhatIsConfigured by a reload alone.
func TestServiceThatIsWatchedIsUpgradedToWhatIsConfigured(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	address := handovertest.FreeAddress(t)
	h.release("shop", "1.0.0", "")
	conf := h.shop("shop", address, "probation: 300ms, bake: 300ms, drain_timeout: 5s") + "\nwatch: true\nargs: [one]"
	h.configure(conf)
	h.start()
	h.awaits("shop", "running")
	load := h.drive(address, crowd)
	h.configure(strings.Replace(conf, "[one]", "[two]", 1))
	_, err := h.client.Reload(h.ctx)
	must(t, err)
	h.eventually("it was started anew and is kept", func() (any, bool) {
		u, err := h.client.History(h.ctx, "shop", 1)
		return asJSON(u), err == nil && len(u) == 1 && u[0].By == "watch" && u[0].State == "kept"
	})
	var files syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files))
	h.startedAs(address, fmt.Sprintf("two colour= files=%d", files.Max))
	handovertest.AssertNothingLost(t, load.Stop())
}

// TestCheckOfASuccessorRunsTheSuccessorsProgram: a path that is not absolute is one within the release that is checked.
func TestCheckOfASuccessorRunsTheSuccessorsProgram(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	probing := func(version string, status int) string {
		dir := h.path("ci-releases", "shop-"+version, "bin")
		must(t, os.MkdirAll(dir, 0o755))
		executable.Write(t, filepath.Join(dir, "probe"), fmt.Appendf(nil, "#!/bin/sh\necho I am %s\nexit %d\n", version, status), 0o755)
		return h.release("shop", version, "")
	}
	probing("1.0.0", 0)
	h.configure(strings.Replace(h.shop("shop", handovertest.FreeAddress(t), "probation: 3s, bake: 300ms, drain_timeout: 5s"), "checks:\n",
		"checks:\n  - {name: probe, exec: [bin/probe], interval: 3s, failures: 1}\n", 1))
	h.start()
	h.awaits("shop", "running")
	h.eventually("the release that serves is well", func() (any, bool) {
		s, err := h.client.Service(h.ctx, "shop")
		return asJSON(s), err == nil && s.Health == "good"
	})
	if u := h.upgrade("shop", control.UpgradeRequest{Source: probing("1.1.0", 1)}); u.State != "resumed" || !strings.Contains(u.Reason, "I am 1.1.0") {
		t.Errorf("%s", asJSON(u))
	}
	if u := h.upgrade("shop", control.UpgradeRequest{Source: probing("1.2.0", 0)}); u.State != "kept" {
		t.Errorf("%s", asJSON(u))
	}
}

// TestAgentWaitsLongerForTheEndThanAKeeper does: a keeper kills what takes too long, and the agent has to see that.
func TestAgentWaitsLongerForTheEndThanAKeeper(t *testing.T) {
	for _, plain := range []bool{false, true} {
		for own := time.Second; own < 24*time.Hour; own *= 2 {
			k, a := keeper.StopTimeout(own, plain), supervise.EndTimeout(own, plain)
			if k < own || a < k+2*time.Second || !plain && k < own+5*time.Second {
				t.Errorf("a service (plain: %t) has %s to end, its keeper waits %s, the agent %s", plain, own, k, a)
			}
		}
	}
}
