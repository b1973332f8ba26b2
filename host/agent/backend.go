package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/handover-go/handover/host/agent/config"
	"github.com/handover-go/handover/host/control"
	"github.com/handover-go/handover/host/journal"
	"github.com/handover-go/handover/host/judge"
	"github.com/handover-go/handover/host/release"
	"github.com/handover-go/handover/host/service"
	"github.com/handover-go/handover/host/supervise"
)

// errUnknown: no service of that name is configured.
var errUnknown = control.ErrUnknownService

// errPaused says what to do first.
var errPaused = &control.Error{Code: "conflict", Message: control.ErrConflict.Error(), Next: "resume the service first"}

// kinds says which sentinel of the control API an error of the packages below is.
var kinds = []struct{ is, as error }{
	{supervise.ErrBusy, control.ErrBusy}, {supervise.ErrIdle, control.ErrConflict}, {supervise.ErrStopped, control.ErrConflict},
	{supervise.ErrPaused, errPaused}, {supervise.ErrMismatch, control.ErrInvalid}, {journal.ErrUnfinished, control.ErrBusy}, {supervise.ErrNoRelease, control.ErrUnknownRelease}, {supervise.ErrVetoed, control.ErrVetoed},
	{release.ErrRefused, control.ErrRefused}, {release.ErrNotFound, control.ErrUnknownRelease}, {release.ErrAmbiguous, control.ErrInvalid},
	{service.ErrVerification, control.ErrRefused}, {journal.ErrUnknown, control.ErrUnknownUpgrade}, {errAway, control.ErrUnavailable}, {supervise.ErrLeft, control.ErrUnavailable},
	{service.ErrDeadline, control.ErrDeadline}, {service.ErrUnsupported, control.ErrUnsupported},
}

// told says an error in the words of the control API.
func told(err error) error {
	for _, k := range kinds {
		if errors.Is(err, k.is) {
			return fmt.Errorf("%w: %w", k.as, err)
		}
	}
	return err
}

// with has f do something with a service.
func (a *agent) with(ctx context.Context, name string, f func(*core, *kept) error) error {
	k, err := a.working(ctx)
	if err != nil {
		return told(err)
	}
	s, err := k.service(name)
	if err != nil {
		return err
	}
	return told(f(k, s))
}

// The methods of control.Backend.

func (a *agent) Services(ctx context.Context) ([]control.Service, error) {
	k, err := a.working(ctx)
	if err != nil {
		return nil, told(err)
	}
	all := k.all()
	a.mu.Lock()
	waves := a.config.StartOrder()
	a.mu.Unlock()
	names := ordered(waves, all)
	list := make([]control.Service, len(names))
	var wait sync.WaitGroup
	for i, name := range names { // at the same time: a keeper that does not answer takes its while, and there may be several
		wait.Go(func() { list[i] = describe(ctx, all[name]) })
	}
	wait.Wait()
	return list, nil
}

// ordered are the names of services in the order in which they start. One that a reload is just adding or taking away comes last.
func ordered(waves [][]string, all map[string]*kept) []string {
	names := slices.DeleteFunc(slices.Concat(waves...), func(name string) bool { return all[name] == nil })
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func (a *agent) Service(ctx context.Context, name string) (s control.Service, err error) {
	err = a.with(ctx, name, func(_ *core, one *kept) error {
		s = describe(ctx, one)
		return nil
	})
	return s, err
}

func (a *agent) History(ctx context.Context, name string, limit int) ([]control.Upgrade, error) {
	list := []control.Upgrade{}
	err := a.with(ctx, name, func(_ *core, one *kept) error {
		all, err := one.History(limit)
		for _, r := range all {
			list = append(list, upgrade(r))
		}
		return err
	})
	return list, err
}

func (a *agent) Releases(ctx context.Context, name string) ([]control.Release, error) {
	list := []control.Release{}
	err := a.with(ctx, name, func(_ *core, one *kept) error {
		all, err := one.Releases()
		for _, r := range all {
			list = append(list, control.Release{
				ID: r.ID, Version: r.Manifest.Version, Created: r.Manifest.Created, Expires: instant(r.Manifest.Expires), Signer: r.Signer,
				Current: r.Current, Committed: r.Committed,
			})
		}
		return err
	})
	return list, err
}

func (a *agent) Lookup(ctx context.Context, name string, number uint64) (u control.Upgrade, err error) {
	err = a.with(ctx, name, func(_ *core, one *kept) error {
		r, err := one.Record(number)
		u = upgrade(r)
		return err
	})
	return u, err
}

func (a *agent) Await(ctx context.Context, name string, number uint64, steps int) (u control.Upgrade, err error) {
	err = a.with(ctx, name, func(k *core, one *kept) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(k.ctx, cancel)()
		r, err := one.Wait(ctx, number, steps)
		u = upgrade(r)
		if k.ctx.Err() != nil {
			return errAway
		}
		return err
	})
	return u, err
}

func (a *agent) Agent(ctx context.Context) (control.Agent, error) {
	k, err := a.working(ctx)
	if err != nil {
		return control.Agent{}, told(err)
	}
	k.mu.Lock()
	services := len(k.services)
	k.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	return control.Agent{
		PID: os.Getpid(), Version: version(), Started: a.started, Config: a.options.Config, Loaded: a.loaded, Services: services,
	}, nil
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return ""
}

func (a *agent) Plan(ctx context.Context, by control.Caller, name string, r control.UpgradeRequest) (p control.Plan, err error) {
	err = a.with(ctx, name, func(_ *core, one *kept) error {
		plan := one.Plan(ctx, wishOf(by, r))
		p = control.Plan{Service: name, From: plan.From, To: plan.To, Steps: plan.Steps, Warnings: plan.Warnings, Refused: plan.Refused}
		return nil
	})
	return p, err
}

func wishOf(by control.Caller, r control.UpgradeRequest) supervise.Wish {
	return supervise.Wish{Release: r.Release, Source: r.Source, Binary: r.Binary, AllowOlder: r.AllowOlder, By: by.String(), Key: r.Key}
}

func (a *agent) Upgrade(ctx context.Context, by control.Caller, name string, r control.UpgradeRequest) (control.Upgrade, error) {
	err := a.with(ctx, name, func(_ *core, one *kept) error { return vouched(by, one.config.Release, r) })
	if err != nil {
		return control.Upgrade{}, err
	}
	return a.begin(ctx, name, wishOf(by, r))
}

// vouched refuses a source that only the caller has named where no signature vouches for what lies there: it would be any program.
func vouched(by control.Caller, c config.Release, r control.UpgradeRequest) error {
	if by.Role >= control.Admin || !c.Unsigned || r.Source == "" || r.Source == c.Source {
		return nil
	}
	return fmt.Errorf("%w: releases of the service need no signature, so to name another source takes the role %s, and this is %s", control.ErrDenied, control.Admin, by)
}

func (a *agent) Rollback(ctx context.Context, by control.Caller, name string, r control.RollbackRequest) (control.Upgrade, error) {
	return a.begin(ctx, name, supervise.Wish{Rollback: true, Release: r.To, By: by.String(), Key: r.Key})
}

func (a *agent) begin(ctx context.Context, name string, w supervise.Wish) (u control.Upgrade, err error) {
	err = a.with(ctx, name, func(_ *core, one *kept) error {
		r, err := one.Upgrade(ctx, w)
		if r.Number > 0 { // what has begun, or is in the way
			u = upgrade(r)
		}
		return err
	})
	return u, err
}

func (a *agent) Promote(ctx context.Context, by control.Caller, name string) (control.Upgrade, error) {
	return a.under(ctx, name, func(s *kept) error { return s.Promote(ctx, by.String()) })
}

func (a *agent) Abort(ctx context.Context, by control.Caller, name, reason string) (control.Upgrade, error) {
	who := by.String()
	if reason != "" {
		who += ": " + reason
	}
	return a.under(ctx, name, func(s *kept) error { return s.Abort(ctx, who) })
}

// under does something to the upgrade under way, and tells how that stands.
func (a *agent) under(ctx context.Context, name string, do func(*kept) error) (u control.Upgrade, err error) {
	err = a.with(ctx, name, func(_ *core, one *kept) error {
		before := one.Status().Upgrade
		if err := do(one); err != nil || before == nil {
			return err
		}
		r, err := one.Record(before.Number)
		u = upgrade(r)
		return err
	})
	return u, err
}

func (a *agent) Pause(ctx context.Context, by control.Caller, name, _ string) (control.Service, error) {
	return a.then(ctx, name, func(s *kept) error { return s.Pause(ctx, by.String()) })
}

func (a *agent) Resume(ctx context.Context, by control.Caller, name string) (control.Service, error) {
	return a.then(ctx, name, func(s *kept) error { return s.Resume(ctx, by.String()) })
}

func (a *agent) Start(ctx context.Context, _ control.Caller, name string) (control.Service, error) {
	return a.then(ctx, name, func(s *kept) error { return s.Start(ctx) })
}

func (a *agent) Stop(ctx context.Context, _ control.Caller, name string) (control.Service, error) {
	return a.then(ctx, name, func(s *kept) error { return s.Stop(ctx) })
}

// StopAll implements control.Backend.
func (a *agent) StopAll(ctx context.Context, _ control.Caller) error {
	k, err := a.working(ctx)
	if err != nil {
		return told(err)
	}
	return told(k.suspend(ctx))
}

// then does something to a service, and tells how it is.
func (a *agent) then(ctx context.Context, name string, do func(*kept) error) (s control.Service, err error) {
	err = a.with(ctx, name, func(_ *core, one *kept) error {
		if err := do(one); err != nil {
			return err
		}
		s = describe(ctx, one)
		return nil
	})
	return s, err
}

// describe is a service in the words of the control API.
func describe(ctx context.Context, one *kept) control.Service {
	st := one.Fresh(ctx)
	s := control.Service{
		Name: st.Name, State: st.State, Paused: st.Paused, Version: st.Version, Release: st.Release, Health: health(st),
		Reason: reason(st),
	}
	if st.Upgrade == nil {
		if last, err := one.History(1); err == nil && len(last) > 0 { // a journal that cannot be read is said by whoever asks for it
			st.Upgrade = &last[0]
		}
	}
	if st.Upgrade != nil {
		u := upgrade(*st.Upgrade)
		s.Upgrade = &u
	}
	said := st.Said
	if said == nil {
		return s
	}
	s.Generation, s.PID, s.Connections = said.Generation, said.PID, said.Connections
	if g, ok := st.Serving(); ok {
		s.Started = instant(time.UnixMilli(g.StartedMs))
	}
	if k := said.Keeper; k != nil {
		s.Restarts, s.Keeper = k.Restarts, &control.Process{PID: k.PID, Version: k.Build.Version}
	}
	for _, d := range said.Draining {
		s.Draining = append(s.Draining, control.Generation{Generation: d.Generation, PID: d.PID})
	}
	count(&s, st.Figures)
	return s
}

// count adds what each generation has counted.
func count(s *control.Service, figures []service.Stats) {
	for _, f := range figures {
		if r := f.Requests; r != nil {
			if s.InFlight == nil {
				s.InFlight = new(int64)
			}
			*s.InFlight += r.InFlight
		}
		for i := range s.Draining {
			if c := f.Connections; s.Draining[i].PID == f.PID {
				n := c.New + c.Active + c.Idle + c.Hijacked + c.Other
				s.Draining[i].Connections = &n
			}
		}
	}
}

func health(st supervise.Status) string {
	switch {
	case !st.Checked:
		return "unknown"
	case st.Unhealthy != "":
		return "bad"
	default:
		return "good"
	}
}

func reason(st supervise.Status) string {
	if st.Reason != "" {
		return st.Reason
	}
	return st.Unhealthy
}

// upgrade is a record in the words of the control API.
func upgrade(r journal.Upgrade) control.Upgrade {
	u := control.Upgrade{
		ID: fmt.Sprintf("%s/%d", r.Service, r.Number), Service: r.Service, Number: r.Number, Kind: r.Kind, From: r.From, To: r.To, By: r.By,
		Began: r.Began, Ended: instant(r.Ended), State: r.State, Reason: r.Reason, Steps: []control.Step{}, Lost: r.Lost,
		ReadyUs: r.ReadyUs, SwitchUs: r.SwitchUs,
	}
	if r.State == "baking" {
		u.BakeEnds = instant(r.BakeUntil)
	}
	for _, s := range r.Steps {
		u.Steps = append(u.Steps, control.Step{State: s.State, At: s.At, Detail: s.Detail})
	}
	var evidence []judge.Evidence
	if json.Unmarshal(r.Evidence, &evidence) == nil { // an agent of another version may have written it
		for _, e := range evidence {
			u.Evidence = append(u.Evidence, control.Evidence{
				Test: e.Test, Value: e.Value, Against: e.Against, Limit: e.Limit, P: e.P, Alpha: e.Alpha, Detectable: e.Detectable, N: e.N, Outcome: string(e.Outcome), Detail: e.Detail,
			})
		}
	}
	return u
}

// instant is nil for the zero time, which JSON would show as the year 1.
func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// tell publishes what has happened to a service.
func (a *agent) tell(e supervise.Event) {
	event := control.Event{At: e.At, Kind: e.Kind, Service: e.Service, Detail: e.Detail}
	if e.Upgrade > 0 {
		event.Upgrade = fmt.Sprintf("%s/%d", e.Service, e.Upgrade)
	}
	a.feed.Publish(event)
}

// outputOf is where a service's output lies.
func (a *agent) outputOf(name string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return filepath.Join(a.config.Log, name)
}
