package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/handover-go/handover/host/agent/config"
	"github.com/handover-go/handover/host/audit"
	"github.com/handover-go/handover/host/control"
	"github.com/handover-go/handover/host/journal"
	"github.com/handover-go/handover/host/supervise"
)

// agent is what all of it shares. Everything below mu is there only while this generation serves.
type agent struct {
	options Options
	log     *slog.Logger
	feed    *control.Feed
	doors   []*door // of the control API
	started time.Time

	mu      sync.Mutex
	config  config.Config
	core    *core         // nil while another generation keeps the services
	arrived chan struct{} // closed when there is a core; nil while nobody waits
	loaded  time.Time     // when the configuration was read
}

// core is one life of the agent's work.
type core struct {
	agent    *agent
	log      *slog.Logger
	ctx      context.Context // ends with it
	journal  *journal.Journal
	api      *control.Server
	starting chan struct{} // has room for those that start at a time

	reloading sync.Mutex // held while the set of services changes
	mu        sync.Mutex
	services  map[string]*kept
}

// kept is one service, and the goroutine that keeps it.
type kept struct {
	*supervise.Supervisor
	config config.Service
	anew   bool // it is configured to be started otherwise than before
	stop   context.CancelFunc
	done   chan struct{}
}

// keep is the agent's work, from the moment when this generation serves until it is frozen or ends.
func (a *agent) keep(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a.mu.Lock()
	c := a.config
	a.mu.Unlock()
	j, err := journal.Open(filepath.Join(c.State, "agent", "journal.db"))
	if err != nil {
		return fmt.Errorf("keep services: %w", err)
	}
	defer j.Close()
	log, err := audit.Open(filepath.Join(c.State, "agent", "audit.log"), audit.Options{})
	if err != nil {
		return fmt.Errorf("keep services: %w", err)
	}
	defer log.Close()
	k := &core{
		agent: a, log: a.log, ctx: ctx, journal: j, services: map[string]*kept{}, starting: make(chan struct{}, startAtATime),
	}
	k.api, err = control.NewServer(control.Config{Backend: a, Audit: log, Events: a.feed, Logger: a.log})
	if err != nil {
		return fmt.Errorf("keep services: %w", err)
	}
	admit, err := k.admission(c.Control)
	if err != nil {
		return fmt.Errorf("keep services: %w", err)
	}
	admit()
	defer k.leave()
	k.apply(c)
	a.enter(k)
	defer a.enter(nil)
	var serving sync.WaitGroup
	defer serving.Wait()
	for _, d := range a.doors {
		serving.Go(func() {
			if err := k.api.Serve(ctx, d.lend()); err != nil {
				a.log.Error("the control API has ended", "error", err)
			}
		})
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-hangup:
			if _, err := a.reload(ctx); err != nil {
				a.log.Error("the configuration is not read again", "error", err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// admission prepares who may ask the control API what, and its certificates. They hold when the function that it returns is called.
func (k *core) admission(c config.Control) (admit func(), err error) {
	roles, err := k.api.PrepareAccess(control.Access{Admins: c.Access.Admins, Operators: c.Access.Operators, Viewers: c.Access.Viewers})
	if err != nil || c.Listen == "" {
		return roles, err
	}
	t, err := control.TLSConfig(c.TLS.Certificate, c.TLS.Key, c.TLS.Clients)
	if err != nil {
		return nil, err
	}
	return func() {
		roles()
		k.api.SetTLS(t)
	}, nil
}

// startAtATime is how many services are being started at the same time: their programs share the host's processors.
const startAtATime = 8

// enter says who keeps the services in this process.
func (a *agent) enter(k *core) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.core = k
	if k != nil && a.arrived != nil {
		close(a.arrived)
		a.arrived = nil
	}
}

// working is the core, which a request may come too early for: another generation of the agent is just leaving.
func (a *agent) working(ctx context.Context) (*core, error) {
	limit := time.NewTimer(arrival)
	defer limit.Stop()
	for {
		a.mu.Lock()
		k := a.core
		if k == nil && a.arrived == nil {
			a.arrived = make(chan struct{})
		}
		arrived := a.arrived
		a.mu.Unlock()
		if k != nil {
			return k, nil
		}
		select {
		case <-arrived:
		case <-limit.C:
			return nil, errAway
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// arrival is how long a request waits while the agent is handed over.
const arrival = 10 * time.Second

var errAway = errors.New("the agent is being handed over: ask again")

// leave ends the goroutines, and no service.
func (k *core) leave() {
	all := k.all()
	for _, s := range all {
		s.stop()
	}
	for _, s := range all {
		<-s.done
	}
}

// all are the services that are kept now.
func (k *core) all() map[string]*kept {
	k.mu.Lock()
	defer k.mu.Unlock()
	return maps.Clone(k.services)
}

// service is one by name.
func (k *core) service(name string) (*kept, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.services[name]
	if s == nil {
		return nil, fmt.Errorf("%w: %q", errUnknown, name)
	}
	return s, nil
}

// ready is how a service is to be kept, checked: whatever of it can be wrong is known.
type ready struct {
	service    config.Service
	supervised supervise.Config
	anew       bool // it is configured to be started otherwise than before
}

// prepare checks how a service is to be kept. Nothing has begun.
func (k *core) prepare(c config.Config, s config.Service) (ready, error) {
	sc, err := k.translate(c, s)
	if err == nil {
		sc.Gate = func(ctx context.Context) (func(), error) { return k.mayStart(ctx, s.After) }
		err = sc.Validate()
	}
	if err != nil {
		return ready{}, fmt.Errorf("keep service %q: %w", s.Name, err)
	}
	return ready{service: s, supervised: sc}, nil
}

// add begins to keep a service, in place of a supervisor that has ended. It is started when those that it comes after serve. It fails only where the
// journal does.
func (k *core) add(r ready) error {
	s := r.service
	sup, err := supervise.New(r.supervised, k.journal, k.agent.tell)
	if err != nil {
		k.drop(s.Name)
		return err
	}
	ctx, stop := context.WithCancel(k.ctx)
	one := &kept{Supervisor: sup, config: s, anew: r.anew, stop: stop, done: make(chan struct{})}
	k.mu.Lock()
	k.services[s.Name] = one
	k.mu.Unlock()
	go func() {
		defer close(one.done)
		var watching sync.WaitGroup
		defer watching.Wait()
		if s.Watch {
			watching.Go(func() { k.watch(ctx, one) })
		}
		if err := sup.Run(ctx); err != nil {
			k.log.Error("a service is not kept", "service", s.Name, "error", err)
		}
	}()
	return nil
}

// mayStart waits until the services that come before serve, and not too many start at a time. The function that it returns says that
// the start is over.
func (k *core) mayStart(ctx context.Context, after []string) (func(), error) {
	for _, name := range after {
		before, err := k.service(name)
		if err != nil {
			return nil, err
		}
		if err := before.Serves(ctx); err != nil {
			return nil, fmt.Errorf("wait for service %q: %w", name, err)
		}
	}
	select {
	case k.starting <- struct{}{}:
		return func() { <-k.starting }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
