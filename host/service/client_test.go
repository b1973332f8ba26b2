package service_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/host/internal/fake"
	"github.com/handover-go/handover/host/service"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// begin starts a fake of that script as the service "shop", and reaches it.
func begin(t *testing.T, script string) (*service.Client, *fake.Service) {
	t.Helper()
	dir, answering := start(t, script)
	c, err := service.Dial(t.Context(), dir, "shop")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, answering
}

func start(t *testing.T, script string) (string, *fake.Service) {
	t.Helper()
	dir := runtimeDir(t)
	service, err := fake.Start(dir, "shop", script)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(service.Close)
	return dir, service
}

func runtimeDir(t *testing.T) string {
	t.Helper()
	dir, err := fake.Dir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestStatusIsWhatTheServiceSays(t *testing.T) {
	c, _ := begin(t, "final")
	s, err := c.Status(t.Context())
	if err != nil || s.Service != "shop" || s.Generation != fake.Generation || s.Keeper == nil {
		t.Fatalf("%+v, %v", s, err)
	}
	if c.Name() != "shop" || c.PID() != os.Getpid() {
		t.Errorf("%q, process %d", c.Name(), c.PID())
	}
}

func TestUpgradeTellsEveryStateAndTheResult(t *testing.T) {
	c, answering := begin(t, "final")
	var states []string
	r, err := c.Upgrade(t.Context(), service.Request{Binary: "/opt/shop"}, func(s wire.State) { states = append(states, s.State) })
	if err != nil {
		t.Fatal(err)
	}
	want := service.Result{
		Attempt: 8, Outcome: "final", Generation: 4, PID: 4204711, Build: "example.com/shop v1.5.0",
		Ready: 1200 * time.Millisecond, Switch: 356 * time.Microsecond, Total: 11400 * time.Millisecond,
	}
	if r != want {
		t.Errorf("%+v", r)
	}
	if len(states) != 7 || states[5] != "probation" {
		t.Errorf("states %q", states)
	}
	if u := answering.Upgrades(); len(u) != 1 || u[0] != (wire.Upgrade{Binary: "/opt/shop", Watch: true}) {
		t.Errorf("asked for %+v", u)
	}
}

func TestUpgradeUnwatchedAsksForNoStates(t *testing.T) {
	c, answering := begin(t, "final")
	if _, err := c.Upgrade(t.Context(), service.Request{Rollback: true}, nil); err != nil {
		t.Fatal(err)
	}
	if u := answering.Upgrades(); len(u) != 1 || u[0] != (wire.Upgrade{Rollback: true}) {
		t.Errorf("asked for %+v", u)
	}
}

func TestRefusalIsFoundByItsClassAndByItsOutcome(t *testing.T) {
	all := []error{
		service.ErrVerification, service.ErrDenied, service.ErrBusy, service.ErrDeadline, service.ErrFailed, service.ErrCancelled,
		service.ErrUnsupported, service.ErrAborted, service.ErrResumed, service.ErrLost,
	}
	for script, want := range map[string][]error{
		"aborted":      {service.ErrAborted, service.ErrFailed},
		"resumed":      {service.ErrResumed, service.ErrFailed},
		"verification": {service.ErrVerification},
		"late":         {service.ErrAborted, service.ErrDeadline},
		"busy":         {service.ErrBusy},
		"draining":     {service.ErrDenied},
		"cancelled":    {service.ErrAborted, service.ErrCancelled},
		"dies":         {service.ErrLost},
		"old":          {},
	} {
		c, _ := begin(t, script)
		_, err := c.Upgrade(t.Context(), service.Request{}, nil)
		if err == nil {
			t.Errorf("%s: no error", script)
		}
		for _, sentinel := range all {
			if errors.Is(err, sentinel) != slices.Contains(want, sentinel) {
				t.Errorf("%s: %v: is %q: %t", script, err, sentinel, errors.Is(err, sentinel))
			}
		}
	}
}

func TestBusyServiceNamesTheAttemptUnderWay(t *testing.T) {
	c, _ := begin(t, "busy")
	_, err := c.Upgrade(t.Context(), service.Request{}, nil)
	var refusal *service.Refusal
	if !errors.As(err, &refusal) || refusal.Attempt != 8 || refusal.Code != wire.CodeBusy {
		t.Errorf("%v", err)
	}
}

func TestServiceThatRefusesToTalkIsAnError(t *testing.T) {
	for script, want := range map[string]error{
		"denied": service.ErrDenied, "unsupported": service.ErrUnsupported, "future": service.ErrUnsupported, "garbage": service.ErrLost,
	} {
		dir, _ := start(t, script)
		if _, err := service.Dial(t.Context(), dir, "shop"); !errors.Is(err, want) || !strings.Contains(err.Error(), `"shop"`) {
			t.Errorf("%s: %v", script, err)
		}
	}
}

func TestSilenceIsADeadline(t *testing.T) {
	c, _ := begin(t, "silent")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := c.Status(ctx); !errors.Is(err, service.ErrDeadline) {
		t.Error(err)
	}
}

func TestInterruptedUpgradeSaysSo(t *testing.T) {
	c, _ := begin(t, "waits")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := c.Upgrade(ctx, service.Request{}, func(wire.State) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestStopIsHeardAndTheEndCanBeWaitedFor(t *testing.T) {
	c, _ := begin(t, "final")
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := c.Wait(ctx); !errors.Is(err, service.ErrDeadline) { // the fake is this process
		t.Error(err)
	}
}

func TestOnlyServiceNeedsNoName(t *testing.T) {
	dir, _ := start(t, "final")
	c, err := service.Dial(t.Context(), dir, "")
	if err != nil || c.Name() != "shop" {
		t.Fatal(err)
	}
	c.Close()
	if err := fake.Abandon(dir, "cart"); err != nil {
		t.Fatal(err)
	}
	var ambiguous *service.AmbiguousError
	if _, err := service.Dial(t.Context(), dir, ""); !errors.As(err, &ambiguous) || !slices.Equal(ambiguous.Names, []string{"cart", "shop"}) {
		t.Errorf("%v", err)
	}
	if _, err := service.Dial(t.Context(), dir, "cart"); !errors.Is(err, service.ErrNobody) {
		t.Errorf("abandoned socket: %v", err)
	}
}

func TestAbsentServiceIsNobody(t *testing.T) {
	dir := runtimeDir(t)
	missing := filepath.Join(dir, "missing")
	for _, c := range []struct {
		dir, name string
		want      error
	}{
		{dir, "shop", service.ErrNobody}, {missing, "shop", service.ErrNobody}, {dir, "", service.ErrNoService}, {missing, "", service.ErrNoService},
	} {
		if _, err := service.Dial(t.Context(), c.dir, c.name); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("asking has made the directory")
	}
}

func TestUnfitNameOrDirectoryIsNotAsked(t *testing.T) {
	dir := runtimeDir(t)
	if _, err := service.Dial(t.Context(), dir, "../shop"); err == nil || !strings.Contains(err.Error(), "no slash") {
		t.Errorf("%v", err)
	}
	if _, err := service.SocketPath("/"+strings.Repeat("d", 100), "shop"); err == nil || !strings.Contains(err.Error(), "shorter") {
		t.Errorf("%v", err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := service.Dial(t.Context(), dir, "shop"); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Errorf("%v", err)
	}
}

// "/" belongs to root and has another mode: whoever this test is, it is not used.
func TestForeignDirectoryIsDenied(t *testing.T) {
	_, err := service.Dial(t.Context(), "/", "shop")
	if os.Geteuid() == 0 && err == nil || os.Geteuid() != 0 && !errors.Is(err, service.ErrDenied) {
		t.Errorf("%v", err)
	}
}

func TestRuntimeDirIsWhereServicesPutTheirSockets(t *testing.T) {
	explicit, xdg := filepath.Join(t.TempDir(), "explicit"), t.TempDir()
	for _, c := range []struct{ explicit, xdg string }{{explicit, xdg}, {"", xdg}} {
		t.Setenv("XDG_RUNTIME_DIR", c.xdg)
		theirs, err := platform.RuntimeDir(c.explicit)
		if err != nil {
			t.Fatal(err)
		}
		if ours, err := service.RuntimeDir(c.explicit); err != nil || ours != theirs {
			t.Errorf("%q, %v, want %q", ours, err, theirs)
		}
	}
}
