package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/handover-go/handover/host/agent/config"
	"github.com/handover-go/handover/host/control"
	"github.com/handover-go/handover/host/supervise"
)

// Reload implements control.Backend.
func (a *agent) Reload(ctx context.Context, _ control.Caller) (control.Reload, error) {
	r, err := a.reload(ctx)
	return r, told(err)
}

// reload reads the configuration again. Whatever can be wrong with it is known before anything is changed, the access to the control API last. What has
// changed of a service is done as gently as it can be: most by the agent alone, a part by the service's next upgrade, and some by its next start,
// which the answer names.
func (a *agent) reload(ctx context.Context) (control.Reload, error) {
	k, err := a.working(ctx)
	if err != nil {
		return control.Reload{}, err
	}
	k.reloading.Lock()
	defer k.reloading.Unlock()
	c, err := config.Load(a.options.Config)
	if err != nil {
		return control.Reload{}, fmt.Errorf("%w: %w", control.ErrInvalid, err)
	}
	a.mu.Lock()
	before := a.config
	a.mu.Unlock()
	before.Services = configured(k.all()) // one that could not be kept is to be added
	changes := config.Diff(before, c)
	admit, err := k.admission(c.Control)
	if err != nil {
		return control.Reload{}, fmt.Errorf("%w: %w", control.ErrInvalid, err)
	}
	if err := k.change(c, changes); err != nil {
		return control.Reload{}, err
	}
	admit()
	a.mu.Lock()
	a.config, a.loaded = c, time.Now()
	a.mu.Unlock()
	a.log.Info("the configuration was read again", "added", len(changes.Added), "removed", len(changes.Removed), "changed", len(changes.Changed))
	return summary(changes), nil
}

// summary is what a reload has changed, and what of it waits.
func summary(changes config.Changes) (r control.Reload) {
	for _, s := range changes.Added {
		r.Added = append(r.Added, s.Name)
	}
	for _, s := range changes.Removed {
		r.Removed = append(r.Removed, s.Name)
	}
	for _, ch := range changes.Changed {
		r.Changed = append(r.Changed, ch.Name)
		for _, w := range []struct {
			need config.Need
			when string
		}{{config.NeedsUpgrade, "holds from the next upgrade on"}, {config.NeedsStop, "holds when the service is stopped and started"}} {
			if fields := ch.With(w.need); len(fields) > 0 {
				r.Warnings = append(r.Warnings, fmt.Sprintf("%s: %s: %s", ch.Name, strings.Join(fields, ", "), w.when))
			}
		}
	}
	if fields := changes.Agent.With(config.NeedsAgent); len(fields) > 0 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("%s: holds when the agent is restarted", strings.Join(fields, ", ")))
	}
	return r
}

// apply begins to keep all that is configured. One that cannot be kept is said, and the others are kept.
func (k *core) apply(c config.Config) {
	k.reloading.Lock()
	defer k.reloading.Unlock()
	for _, s := range c.Services {
		r, err := k.prepare(c, s)
		if err == nil {
			err = k.add(r)
		}
		if err != nil {
			k.log.Error("a service is not kept", "service", s.Name, "error", err)
		}
	}
}

// change goes from one configuration to the next. A service whose supervisor is replaced notices nothing: the next one finds it. A fault, and a service
// that does not end, is found while nothing has changed.
func (k *core) change(c config.Config, changes config.Changes) error {
	var all []ready
	var faults []error
	for _, s := range c.Services {
		isNew := slices.ContainsFunc(changes.Added, func(added config.Service) bool { return added.Name == s.Name })
		i := slices.IndexFunc(changes.Changed, func(ch config.Change) bool { return ch.Name == s.Name })
		if !isNew && i < 0 {
			continue
		}
		r, err := k.prepare(c, s)
		if err != nil {
			faults = append(faults, fmt.Errorf("%w: %w", control.ErrInvalid, err))
		}
		r.anew = i >= 0 && len(changes.Changed[i].With(config.NeedsUpgrade)) > 0
		all = append(all, r)
	}
	if len(faults) > 0 {
		return errors.Join(faults...)
	}
	if err := k.end(changes.Removed); err != nil {
		return err
	}
	for _, r := range all {
		k.retire(r.service.Name)
		faults = append(faults, k.add(r))
	}
	return errors.Join(faults...)
}

// end ends services that are configured no more, those first that come after others, and forgets that they were to run. If one does not end, those that
// ran are to run again.
func (k *core) end(removed []config.Service) error {
	all := k.all()
	var ran []*kept
	for _, s := range removed {
		st := all[s.Name].Status()
		if u := st.Upgrade; u != nil {
			return unended(s, fmt.Errorf("%w: number %d; abort it first", supervise.ErrBusy, u.Number))
		}
		if st.State != supervise.Stopped {
			ran = append(ran, all[s.Name])
		}
	}
	err := inEndOrder(removed, func(s config.Service) error { return unended(s, all[s.Name].Stop(k.ctx)) })
	if err != nil {
		for _, s := range ran {
			err = errors.Join(err, s.Revive())
		}
		return err
	}
	for _, s := range removed {
		k.retire(s.Name)
		k.drop(s.Name)
	}
	return nil
}

func unended(s config.Service, err error) error {
	if err != nil {
		err = fmt.Errorf("stop service %q, which is configured no more: %w", s.Name, err)
	}
	return err
}

// retire ends the supervisor of a service, if it has one, and not the service. Who asks meanwhile is told to ask again.
func (k *core) retire(name string) {
	if s, err := k.service(name); err == nil {
		s.stop()
		<-s.done
	}
}

// drop forgets a service whose supervisor has ended.
func (k *core) drop(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.services, name)
}
