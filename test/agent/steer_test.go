//go:build linux

package agent

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/host/control"
)

// TestUpgradeIsSteered: paused in its bake time it stays there, resumed and promoted it is kept, aborted it is taken back, rolled back by hand it goes
// to the release before, and of each there is a record.
func TestUpgradeIsSteered(t *testing.T) {
	t.Parallel()
	h, address, _ := newShop(t, "probation: 300ms, bake: 5s, drain_timeout: 5s")
	load := h.drive(address, crowd)

	begin := func(version string) control.Upgrade {
		u, err := h.client.Upgrade(h.ctx, "shop", control.UpgradeRequest{Source: h.release("shop", version, "")})
		must(t, err)
		return u
	}
	u := begin("1.1.0")
	h.awaits("shop", "baking")
	s, err := h.client.Pause(h.ctx, "shop", "let me look")
	must(t, err)
	if !s.Paused {
		t.Errorf("%+v is not paused", s)
	}
	h.pass(5500 * time.Millisecond) // more than the bake time
	h.awaits("shop", "baking")
	_, err = h.client.Resume(h.ctx, "shop")
	must(t, err)
	if u = h.await(u); u.State != "kept" {
		t.Errorf("%s", asJSON(u))
	}

	u = begin("1.2.0")
	h.awaits("shop", "baking")
	if _, err := h.client.Upgrade(h.ctx, "shop", control.UpgradeRequest{Release: "1.0.0"}); !errors.Is(err, control.ErrBusy) {
		t.Errorf("a second upgrade: %v, want busy", err)
	}
	_, err = h.client.Promote(h.ctx, "shop")
	must(t, err)
	if u = h.await(u); u.State != "kept" {
		t.Errorf("%s", asJSON(u))
	}

	u = begin("1.3.0")
	h.awaits("shop", "baking")
	_, err = h.client.Abort(h.ctx, "shop", "not today")
	must(t, err)
	if u = h.await(u); u.State != "returned" || !strings.Contains(u.Reason, "not today") {
		t.Errorf("%s", asJSON(u))
	}
	if s := h.awaits("shop", "running"); s.Version != "1.2.0" || s.Upgrade == nil || s.Upgrade.ID != u.ID || s.Upgrade.State != "returned" {
		t.Errorf("version %s serves; the last upgrade: %s", s.Version, asJSON(s.Upgrade))
	}

	u, err = h.client.Rollback(h.ctx, "shop", control.RollbackRequest{})
	must(t, err)
	h.awaits("shop", "baking")
	_, err = h.client.Promote(h.ctx, "shop")
	must(t, err)
	if u = h.await(u); u.State != "kept" || u.Kind != "rollback" || !strings.HasPrefix(u.To, "1.1.0-") {
		t.Errorf("%s", asJSON(u))
	}
	_, err = h.client.Pause(h.ctx, "shop", "")
	must(t, err)
	var told *control.Error
	if _, err := h.client.Upgrade(h.ctx, "shop", control.UpgradeRequest{Release: "1.2.0"}); !errors.Is(err, control.ErrConflict) || !errors.As(err, &told) || !strings.Contains(told.Next, "resume") {
		t.Errorf("an upgrade of a service that is paused: %v, %+v", err, told)
	}
	if page, err := h.client.Audit(h.ctx, 1, 0, "shop"); err != nil || len(page.Records) != 1 || page.Records[0].Outcome.Code != "conflict" || page.Records[0].Outcome.Detail != "" {
		t.Errorf("what is recorded of it: %+v, %v", page.Records, err)
	}
	handovertest.AssertNothingLost(t, load.Stop())
}

// TestReleaseThatIsRefusedChangesNothing: nothing is started, and the record says why.
func TestReleaseThatIsRefusedChangesNothing(t *testing.T) {
	t.Parallel()
	h, _, before := newShop(t, "probation: 300ms, bake: 300ms, drain_timeout: 5s")
	for _, c := range []struct {
		what  string
		spoil func(dir string)
		says  string
	}{
		{"1.1.0", func(dir string) { must(t, os.Truncate(filepath.Join(dir, "shop"), 1000)) }, "differs from the manifest"},
		{"1.2.0", func(dir string) { must(t, os.Remove(dir+".release.json.minisig")) }, "bad signature"},
		{"0.9.0", func(string) {}, "older"},
		{"1.3.0", func(dir string) { must(t, os.WriteFile(filepath.Join(dir, "more"), nil, 0o644)) }, "differs from the manifest"},
	} {
		dir := h.release("shop", c.what, "")
		c.spoil(dir)
		u := h.upgrade("shop", control.UpgradeRequest{Source: dir})
		if u.State != "refused" || !strings.Contains(u.Reason, c.says) || strings.Contains(u.Reason, "\n") {
			t.Errorf("%s: want %q, got %s", c.what, c.says, asJSON(u))
		}
		if u := h.upgrade("shop", control.UpgradeRequest{Source: h.release("shop", "1.9.0", "exit 0s")}); u.State != "aborted" {
			t.Errorf("a release that does not start: %s", asJSON(u))
		}
	}
	if _, err := h.client.Upgrade(h.ctx, "shop", control.UpgradeRequest{Binary: h.program}); !errors.Is(err, control.ErrInvalid) {
		t.Errorf("a file for a service with releases: %v", err)
	}
	after := h.awaits("shop", "running")
	if after.PID != before.PID || after.Release != before.Release || after.Restarts != 0 {
		t.Errorf("%+v, it was %+v", after, before)
	}
}

// TestSourceThatIsWatchedUpgradesByItself when its release has changed as a whole. That it was refused before says nothing of it. Guard: supervise.Decided.
func TestSourceThatIsWatchedUpgradesByItself(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	address := handovertest.FreeAddress(t)
	must(t, os.Symlink(h.release("shop", "1.0.0", ""), h.path("ci-releases", "latest")))
	for _, suffix := range []string{".release.json", ".release.json.minisig"} {
		must(t, os.Symlink(h.path("ci-releases", "shop-1.0.0"+suffix), h.path("ci-releases", "latest"+suffix)))
	}
	conf := h.shop("shop", address, "probation: 300ms, bake: 300ms, drain_timeout: 5s") + "\nwatch: true"
	h.configure(strings.Replace(conf, h.path("ci-releases", "shop-1.0.0"), h.path("ci-releases", "latest")+", interval: 1s", 1))
	h.start()
	h.awaits("shop", "running")
	load := h.drive(address, crowd)
	next := h.path("ci-releases", "shop-1.1.0")
	must(t, errors.Join(os.Mkdir(next, 0o755), os.WriteFile(filepath.Join(next, "news"), nil, 0o644))) // in which it differs
	h.release("shop", "1.1.0", "")
	comes := func(suffix string) {
		must(t, os.Symlink(h.path("ci-releases", "shop-1.1.0"+suffix), h.path("next")))
		must(t, os.Rename(h.path("next"), h.path("ci-releases", "latest"+suffix)))
	}
	comes(".release.json")
	comes(".release.json.minisig")
	h.eventually("what has come is refused", func() (any, bool) {
		s, err := h.client.Service(h.ctx, "shop")
		return asJSON(s), err == nil && s.Upgrade != nil && s.Upgrade.State == "refused" && strings.Contains(s.Upgrade.Reason, "differs from the manifest")
	})
	comes("") // the program
	h.eventually("version 1.1.0 is kept", func() (any, bool) {
		s, err := h.client.Service(h.ctx, "shop")
		return asJSON(s), err == nil && s.Version == "1.1.0" && s.State == "running"
	})
	handovertest.AssertNothingLost(t, load.Stop())
}

// TestHookThatVetoesKeepsAnUpgradeFromBeginning, and another hears how an upgrade ended that it could not stop. Whoever was told the end need not
// wait for it to ask for the next upgrade.
func TestHookThatVetoesKeepsAnUpgradeFromBeginning(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	gate, heard := h.path("gate"), h.path("heard")
	h.release("shop", "1.0.0", "")
	h.configure(h.shop("shop", handovertest.FreeAddress(t), "probation: 300ms, bake: 300ms, drain_timeout: 5s") + `
hooks:
  - {name: gate, on: [before], veto: true, exec: [/usr/bin/test, -e, ` + gate + `]}
  - {name: late, on: [kept], exec: [/bin/sleep, "0.6"]}
  - {name: tell, on: [kept], exec: [/bin/cp, /dev/stdin, ` + heard + `]}`)
	h.start()
	before := h.awaits("shop", "running")
	release := h.release("shop", "1.1.0", "")
	if u := h.upgrade("shop", control.UpgradeRequest{Source: release}); u.State != "aborted" || !strings.Contains(u.Reason, "gate") {
		t.Errorf("%s", asJSON(u))
	}
	if after := h.awaits("shop", "running"); after.PID != before.PID {
		t.Errorf("process %d serves, after %d", after.PID, before.PID)
	}
	must(t, os.WriteFile(gate, nil, 0o644))
	u := h.upgrade("shop", control.UpgradeRequest{Source: release})
	if u.State != "kept" {
		t.Errorf("%s", asJSON(u))
	}
	if u := h.upgrade("shop", control.UpgradeRequest{Release: "1.1.0"}); u.State != "aborted" || !strings.Contains(u.Reason, "serves already") {
		t.Errorf("%s", asJSON(u))
	}
	h.eventually("the other hook has heard of it", func() (any, bool) {
		content, err := os.ReadFile(heard)
		return string(content), err == nil && strings.Contains(string(content), `"`+u.ID+`/kept"`)
	})
}
