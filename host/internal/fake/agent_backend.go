package fake

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/handover-go/handover/host/control"
)

// The methods of control.Backend.

func (f *Agent) Services(context.Context) ([]control.Service, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.services), f.script.fails
}

func (f *Agent) Service(_ context.Context, name string) (control.Service, error) {
	return f.known(name)
}

func (f *Agent) History(_ context.Context, name string, limit int) ([]control.Upgrade, error) {
	kept, returned := Epoch.Add(90*time.Second), Epoch.Add(-time.Hour)
	all := []control.Upgrade{
		{
			ID: name + "/11", Service: name, Number: 11, Kind: "upgrade", From: "1.3.0-999999999999", To: "1.4.0-aaaaaaaaaaaa", By: "uid:1000 (operator)", Began: Epoch,
			Ended: &kept, State: "kept", Steps: taken(end(6, "kept")),
		},
		{
			ID: name + "/10", Service: name, Number: 10, Kind: "upgrade", From: "1.3.0-999999999999", To: "1.4.0-888888888888", By: "watch", Began: Epoch.Add(-2 * time.Hour),
			Ended: &returned, State: "returned", Reason: "errors: 0.1 is above 0.02\x1b[2J", Steps: taken(end(6, "returned")), Lost: 2,
			Evidence: []control.Evidence{{Test: "errors", Value: 0.1, Against: 0.01, Limit: 0.02, P: 0.001, N: 1000}},
		},
	}
	_, err := f.known(name)
	return all[:min(limit, len(all))], err
}

func (f *Agent) Releases(_ context.Context, name string) ([]control.Release, error) {
	_, err := f.known(name)
	return []control.Release{{ID: "1.4.0-aaaaaaaaaaaa", Version: "1.4.0", Created: Epoch, Current: true, Committed: true}}, err
}

func (f *Agent) Logs(ctx context.Context, name string, tail int, follow bool) (io.ReadCloser, error) {
	if _, err := f.known(name); err != nil {
		return nil, err
	}
	text := strings.Repeat(name+" has answered\n", min(tail, 3))
	if !follow {
		return io.NopCloser(strings.NewReader(text)), nil
	}
	r, w := io.Pipe()
	context.AfterFunc(ctx, func() { _ = w.Close() })
	go func() { _, _ = io.WriteString(w, text+"and goes on\n") }()
	return r, nil
}

func (f *Agent) Lookup(_ context.Context, service string, number uint64) (control.Upgrade, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.upgrade.Service != service || f.upgrade.Number != number {
		return control.Upgrade{}, fmt.Errorf("%w: %s/%d", control.ErrUnknownUpgrade, service, number)
	}
	return f.upgrade, nil
}

// Await takes the next step.
func (f *Agent) Await(ctx context.Context, service string, number uint64, _ int) (control.Upgrade, error) {
	u, err := f.Lookup(ctx, service, number)
	sc, n := f.plays(), len(u.Steps)+1
	if err == nil && n > len(sc.states) {
		<-ctx.Done()
		err = ctx.Err()
	}
	if err != nil {
		return u, err
	}
	u.Steps, u.State = taken(sc.states[:n]), sc.states[n-1]
	if n == len(sc.states) && !sc.waits {
		u.Ended, u.Reason = &u.Steps[n-1].At, sc.reason
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.upgrade = u
	return u, nil
}

func (f *Agent) Agent(context.Context) (control.Agent, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return control.Agent{
		PID: 4203999, Version: "v0.1.0", Started: Epoch, Config: "/etc/handover/agent.yaml", Loaded: Epoch.Add(time.Minute), Services: len(f.services),
	}, f.script.fails
}

func (f *Agent) Plan(_ context.Context, _ control.Caller, name string, r control.UpgradeRequest) (control.Plan, error) {
	p := control.Plan{
		Service: name, From: "1.4.0-aaaaaaaaaaaa", To: r.Release + r.Source + r.Binary, Steps: []string{"fetch, verify and lay down it", "start it beside the generation that serves"},
		Warnings: []string{"the release expires in 3 days"},
	}
	if refuses := f.plays().refuses; refuses != nil {
		p.Refused = refuses.Error()
	}
	_, err := f.known(name)
	return p, err
}

func (f *Agent) Upgrade(_ context.Context, by control.Caller, name string, r control.UpgradeRequest) (control.Upgrade, error) {
	to := r.Release + r.Source + r.Binary
	if to == "" {
		to = "1.5.0-dddddddddddd"
	}
	err := f.change(name, "upgrade %s to %s, older %t", name, to, r.AllowOlder)
	if err != nil {
		return control.Upgrade{}, err
	}
	return f.begin(name, "upgrade", to, by), nil
}

func (f *Agent) Rollback(_ context.Context, by control.Caller, name string, r control.RollbackRequest) (control.Upgrade, error) {
	to := r.To
	if to == "" {
		to = "1.3.0-999999999999"
	}
	if err := f.change(name, "rollback %s to %s", name, to); err != nil {
		return control.Upgrade{}, err
	}
	return f.begin(name, "rollback", to, by), nil
}

func (f *Agent) Promote(_ context.Context, by control.Caller, name string) (control.Upgrade, error) {
	err := f.change(name, "promote %s", name)
	return f.begin(name, "upgrade", "1.5.0-dddddddddddd", by), err
}

func (f *Agent) Abort(_ context.Context, by control.Caller, name, reason string) (control.Upgrade, error) {
	err := f.change(name, "abort %s: %s", name, reason)
	return f.begin(name, "upgrade", "1.5.0-dddddddddddd", by), err
}

func (f *Agent) Pause(_ context.Context, _ control.Caller, name, reason string) (control.Service, error) {
	if err := f.change(name, "pause %s: %s", name, reason); err != nil {
		return control.Service{}, err
	}
	return f.now(name, func(s *control.Service) { s.Paused = true })
}

func (f *Agent) Resume(_ context.Context, _ control.Caller, name string) (control.Service, error) {
	if err := f.change(name, "resume %s", name); err != nil {
		return control.Service{}, err
	}
	return f.now(name, func(s *control.Service) { s.Paused = false })
}

func (f *Agent) Start(_ context.Context, _ control.Caller, name string) (control.Service, error) {
	if err := f.change(name, "start %s", name); err != nil {
		return control.Service{}, err
	}
	return f.now(name, func(s *control.Service) { s.State = "running" })
}

func (f *Agent) Stop(_ context.Context, _ control.Caller, name string) (control.Service, error) {
	if err := f.change(name, "stop %s", name); err != nil {
		return control.Service{}, err
	}
	return f.now(name, func(s *control.Service) { s.State, s.Generation, s.PID, s.Started = "stopped", 0, 0, nil })
}

// StopAll implements control.Backend.
func (f *Agent) StopAll(context.Context, control.Caller) error { return f.plays().refuses }

func (f *Agent) Reload(context.Context, control.Caller) (control.Reload, error) {
	return control.Reload{Added: []string{"chat"}, Changed: []string{"shop"}, Warnings: []string{"shop: user: holds when the service is stopped and started"}}, f.plays().refuses
}
