//go:build linux

package agent

import (
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/procfs"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/host/control"
)

// TestReloadChangesOnlyWhatChanged: a service is added, one taken away, and the third runs on in the same processes; a file with a fault changes
// nothing.
func TestReloadChangesOnlyWhatChanged(t *testing.T) {
	t.Parallel()
	h, conf := newTwo(t, "300ms")
	same := h.family("two")

	h.configure(conf["two"], conf["three"], "two\ncolour: red")
	if _, err := h.client.Reload(h.ctx); !errors.Is(err, control.ErrInvalid) || !strings.Contains(err.Error(), "agent.yaml:") {
		t.Errorf("a wrong file: %v", err)
	}
	h.awaits("one", "running")

	h.configure(strings.Replace(conf["two"], "interval: 200ms", "interval: 5s", 1), conf["three"])
	r, err := h.client.Reload(h.ctx)
	must(t, err)
	if len(r.Added) != 1 || len(r.Removed) != 1 || len(r.Changed) != 1 {
		t.Errorf("%+v", r)
	}
	h.awaits("three", "running")
	h.awaits("two", "running")
	if _, err := h.client.Service(h.ctx, "one"); !errors.Is(err, control.ErrUnknownService) {
		t.Errorf("one: %v", err)
	}
	if now := h.family("two"); len(now) != 2 || now[0] != same[0] || now[1] != same[1] {
		t.Errorf("two: processes %v, they were %v", now, same)
	}
}

// TestReloadThatFailsChangesNothing: neither a service nor who may ask what, whatever is wrong, and one that is good is done whole afterwards.
func TestReloadThatFailsChangesNothing(t *testing.T) {
	t.Parallel()
	h, conf := newTwo(t, "300ms")
	one, two := h.family("one"), h.family("two")

	must(t, os.WriteFile(h.path("bad.pub"), []byte("no key"), 0o644))
	must(t, os.WriteFile(h.path("cert.pem"), []byte("no certificate"), 0o600))
	changed := strings.Replace(conf["two"], "interval: 200ms", "interval: 5s", 1)
	viewers := "access: {viewers: [\"uid:65534\"]}"
	certificate := h.path("cert.pem")
	for _, c := range []struct {
		what, control, two, says string
		is                       error
	}{
		{"keys", viewers, strings.Replace(changed, "ci.pub", "bad.pub", 1), "bad.pub", control.ErrInvalid},
		{"certificate", viewers + ", listen: \"127.0.0.1:0\", tls: {certificate: " + certificate + ", key: " + certificate + ", clients: " + certificate + "}",
			changed, "certificate", control.ErrInvalid},
	} {
		h.control = "control: {" + c.control + "}\n"
		h.configure(c.two, conf["three"])
		if _, err := h.client.Reload(h.ctx); !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.what, err)
		}
		h.changedNothing(c.what, one, two)
	}
	u, err := h.client.Upgrade(h.ctx, "two", control.UpgradeRequest{Source: h.release("two", "1.1.0", "")}) // somebody keeps it
	must(t, err)
	if u = h.await(u); u.State != "kept" {
		t.Errorf("%s", asJSON(u))
	}

	h.control = "control: {" + viewers + "}\n"
	h.configure(changed, conf["three"])
	r, err := h.client.Reload(h.ctx)
	must(t, err)
	if len(r.Added) != 1 || len(r.Removed) != 1 || len(r.Changed) != 1 {
		t.Errorf("%+v", r)
	}
	h.awaits("three", "running")
	if said, code := h.as(nobody, "status", "three"); code != 0 {
		t.Errorf("a viewer: exit code %d\n%s", code, said)
	}
}

// TestReloadThatCannotEndAServiceStartsTheOthersAgain: one is under upgrade, and nobody is told to end; or it does not end, and the other runs again.
func TestReloadThatCannotEndAServiceStartsTheOthersAgain(t *testing.T) {
	t.Parallel()
	h, conf := newTwo(t, "1h")
	u, err := h.client.Upgrade(h.ctx, "two", control.UpgradeRequest{Source: h.release("two", "1.1.0", "")})
	must(t, err)
	h.awaits("two", "baking")
	one, two := h.family("one"), h.alone("two")

	h.control = "control: {access: {viewers: [\"uid:65534\"]}}\n"
	h.configure(conf["three"])
	if _, err := h.client.Reload(h.ctx); !errors.Is(err, control.ErrBusy) || !strings.Contains(err.Error(), `"two"`) {
		t.Errorf("one of them is under upgrade: %v", err)
	}
	h.changedNothing("busy", one, two)

	_, err = h.client.Promote(h.ctx, "two")
	must(t, err)
	h.await(u)
	h.awaits("two", "running") // its record is over a little before
	h.stop(two[0])
	_, err = h.client.Reload(h.ctx)
	must(t, syscall.Kill(two[0], syscall.SIGCONT))
	if err == nil || !strings.Contains(err.Error(), `stop service "two"`) {
		t.Errorf("one of them does not end: %v", err)
	}
	if s := h.awaits("one", "running"); s.PID == one[1] {
		t.Errorf("one: %+v, it was never ended", s)
	}
	h.changedNothing("stopped", h.family("one"), two)
}

// TestReloadKeepsWhatCouldNotBeKept when the agent started, though the file is the same: the key that it names could not be read.
func TestReloadKeepsWhatCouldNotBeKept(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	key, err := os.ReadFile(h.path("ci.pub"))
	must(t, err)
	must(t, os.WriteFile(h.path("ci.pub"), []byte("no key"), 0o644))
	h.release("shop", "1.0.0", "")
	h.configure(h.shop("shop", handovertest.FreeAddress(t), "probation: 300ms, bake: 300ms"))
	h.start()
	if _, err := h.client.Service(h.ctx, "shop"); !errors.Is(err, control.ErrUnknownService) {
		t.Errorf("a service without a key: %v", err)
	}
	must(t, os.WriteFile(h.path("ci.pub"), key, 0o644))
	r, err := h.client.Reload(h.ctx)
	must(t, err)
	if len(r.Added) != 1 || len(r.Removed)+len(r.Changed) != 0 {
		t.Errorf("%+v", r)
	}
	h.awaits("shop", "running")
}

// alone are the keeper of a service and its one generation, when those before have gone.
func (h *host) alone(name string) (pids []int) {
	h.t.Helper()
	h.eventually("one generation of "+name, func() (any, bool) {
		pids = h.family(name)
		return pids, len(pids) == 2
	})
	return pids
}

// stop stops a process, and waits until all its threads stand still: the signal reaches one first.
func (h *host) stop(pid int) {
	h.t.Helper()
	must(h.t, syscall.Kill(pid, syscall.SIGSTOP))
	h.eventually("a process that stands still", func() (any, bool) {
		threads, err := procfs.AllThreads(pid)
		must(h.t, err)
		for _, thread := range threads {
			if stat, err := thread.Stat(); err != nil || stat.State != "T" {
				return stat.State, false
			}
		}
		return nil, true
	})
}

// newTwo is a host whose agent keeps services one and two, and others can ask, with what configures these and a third.
func newTwo(t *testing.T, bake string) (h *host, conf map[string]string) {
	t.Helper()
	h, conf = newHost(t), map[string]string{}
	h.admitsOthers()
	for _, name := range []string{"one", "two", "three"} {
		h.release(name, "1.0.0", "")
		conf[name] = h.shop(name, handovertest.FreeAddress(t), "probation: 300ms, bake: "+bake+", drain_timeout: 5s")
	}
	h.configure(conf["one"], conf["two"])
	h.start()
	h.awaits("one", "running")
	h.awaits("two", "running")
	return h, conf
}

// changedNothing holds services one and two to their processes, and the control API to those that it let in.
func (h *host) changedNothing(what string, one, two []int) {
	h.t.Helper()
	for name, same := range map[string][]int{"one": one, "two": two} {
		if s, err := h.client.Service(h.ctx, name); err != nil || s.State == "stopped" {
			h.t.Errorf("%s: service %s: %+v, %v", what, name, s, err)
		}
		if now := h.family(name); !slices.Equal(now, same) {
			h.t.Errorf("%s: service %s: processes %v, they were %v", what, name, now, same)
		}
	}
	if _, err := h.client.Service(h.ctx, "three"); !errors.Is(err, control.ErrUnknownService) {
		h.t.Errorf("%s: service three: %v", what, err)
	}
	if os.Geteuid() != 0 { // then there is nobody else
		return
	}
	if said, _ := h.as(nobody, "status", "one"); !strings.Contains(said, "takes the role viewer") {
		h.t.Errorf("%s: a stranger is told %s", what, said)
	}
}
