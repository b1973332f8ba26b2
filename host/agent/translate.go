package agent

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/handover-go/handover/host/agent/config"
	"github.com/handover-go/handover/host/agent/hooks"
	"github.com/handover-go/handover/host/journal"
	"github.com/handover-go/handover/host/judge"
	"github.com/handover-go/handover/host/observe"
	"github.com/handover-go/handover/host/release"
	"github.com/handover-go/handover/host/supervise"
)

// translate is what a supervisor needs to know of a service.
func (k *core) translate(c config.Config, s config.Service) (supervise.Config, error) {
	sc := supervise.Config{
		Name: s.Name, Directory: s.Directory, Listen: s.Listen, Cgroup: cgroup(s.Cgroup), Strategy: s.Strategy, StopSignal: s.StopSignal,
		Health: supervise.Health{
			Path: s.Health.Path, TLS: s.Health.TLS, Interval: s.Health.Interval, Timeout: s.Health.Timeout, Failures: s.Health.Failures,
		},
		FreezeTimeout: s.Policy.FreezeTimeout, MaxDraining: s.Policy.MaxDraining,
		ReadyTimeout: s.Policy.ReadyTimeout, Probation: s.Policy.Probation, DrainTimeout: s.Policy.DrainTimeout, StopTimeout: s.Policy.StopTimeout,
		StateDir: filepath.Join(c.State, s.Name), OutputDir: filepath.Join(c.Log, s.Name), Journald: s.Output.Journald,
		Output: supervise.Rotation{MaxSize: int64(s.Output.MaxSize), Keep: s.Output.Keep},
		Source: s.Release.Source, Keep: s.Release.Keep, Bake: s.Policy.Bake,
		Rates: len(s.Listen) == 0 && !(s.Policy.Errors.Off && s.Policy.Latency.Off), Heartbeat: has(s, config.Heartbeat), CheckVersion: has(s, config.Version),
		Policy: policy(s.Policy), Hook: k.hook(s), Keeper: k.agent.options.Keeper, Logger: k.log,
	}
	if len(s.Command) > 0 {
		sc.Command, sc.Args = s.Command[0], slices.Clone(s.Command[1:])
	}
	sc.Args = append(sc.Args, s.Args...)
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		sc.Env = append(sc.Env, name+"="+s.Env[name])
	}
	for _, name := range slices.Sorted(maps.Keys(s.Limits)) {
		sc.Limits = append(sc.Limits, name+"="+s.Limits[name].String())
	}
	var err error
	if s.User != "" || len(s.Groups) > 0 {
		if sc.Account, err = account(s); err != nil {
			return sc, err
		}
	}
	if sc.RuntimeDir, err = takeoverDir(c, s); err != nil {
		return sc, err
	}
	if s.Release.Source != "" || len(s.Release.Keys) > 0 || s.Release.Unsigned {
		if sc.Releases, err = release.Open(filepath.Join(c.State, "services", s.Name)); err != nil {
			return sc, err
		}
		keys, err := release.LoadKeys(s.Release.Keys...)
		if err != nil {
			return sc, err
		}
		sc.Trust = release.Policy{Name: s.Name, Keys: keys, AllowUnsigned: s.Release.Unsigned}
	}
	for _, c := range s.Checks {
		if c.Kind() == config.Heartbeat {
			sc.Policy.HeartbeatAge = time.Duration(c.Failures)*c.Interval + c.Timeout
		}
	}
	sc.Checks, err = probes(s)
	return sc, err
}

// cgroup is the directory of a control group of the second hierarchy.
func cgroup(path string) string {
	if path == "" {
		return ""
	}
	return filepath.Join("/sys/fs/cgroup", path)
}

// account is who a service runs as.
func account(s config.Service) (*supervise.Account, error) {
	u, err := user.Current()
	if s.User != "" {
		if u, err = user.Lookup(s.User); err != nil {
			u, err = user.LookupId(s.User)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("service %q: %w", s.Name, err)
	}
	a := &supervise.Account{Name: u.Username, Home: u.HomeDir}
	uid, err := number(u.Uid)
	if err != nil {
		return nil, err
	}
	a.UID = uid
	groups := []string{u.Gid}
	if len(s.Groups) > 0 {
		groups = nil
		for _, name := range s.Groups {
			g, err := user.LookupGroup(name)
			if err != nil {
				if g, err = user.LookupGroupId(name); err != nil {
					return nil, fmt.Errorf("service %q: %w", s.Name, err)
				}
			}
			groups = append(groups, g.Gid)
		}
	} else if more, err := u.GroupIds(); err == nil {
		groups = append(groups, more...)
	}
	for i, g := range groups {
		gid, err := number(g)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			a.GID = gid
		}
		a.Groups = append(a.Groups, gid)
	}
	return a, nil
}

func number(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	return uint32(n), err
}

// policy is what the judge holds a build to.
func policy(p config.Policy) judge.Policy {
	return judge.Policy{
		Failures: p.Failures, Restarts: p.Restarts, FalseAlarms: p.FalseAlarms, MinRequests: uint64(p.MinRequests),
		RSS: ceiling(p.RSS), CPU: ceiling(p.CPU), FDs: ceiling(p.Descriptors), Threads: ceiling(p.Threads), Goroutines: ceiling(p.Goroutines),
		Errors:  judge.Errors{Off: p.Errors.Off, Ratio: p.Errors.Ratio, Excess: p.Errors.Excess},
		Latency: judge.Latency{Off: p.Latency.Off, Quantile: p.Latency.Quantile, Ratio: p.Latency.Ratio, Excess: p.Latency.Excess, Warmup: p.Latency.Warmup},
	}
}

func ceiling[T config.Size | float64 | int](c config.Ceiling[T]) judge.Ceiling {
	return judge.Ceiling{Max: float64(c.Max), Ratio: c.Ratio}
}

// probes are the checks that ask from outside; what the library and the keeper tell is no probe.
func probes(s config.Service) (all []observe.Probe, err error) {
	for _, c := range s.Checks {
		var check observe.Check
		switch c.Kind() {
		case config.HTTP:
			check, err = httpCheck(c)
		case config.GRPC:
			check = observe.GRPC{Name: c.Name, Where: where(c.GRPC), Service: c.Service, Timeout: c.Timeout}
		case config.TCP:
			check = observe.TCP{Name: c.Name, Where: where(c.TCP), Send: c.Send, Expect: c.Expect, Timeout: c.Timeout}
		case config.Exec:
			check = observe.Exec{Name: c.Name, Argv: c.Exec, Dir: s.Directory, Timeout: c.Timeout}
		default:
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("check %q of service %q: %w", c.Name, s.Name, err)
		}
		all = append(all, observe.Probe{Check: check, Interval: c.Interval, Failures: c.Failures})
	}
	return all, nil
}

// where is an address, HOST:PORT or the path of a unix socket.
func where(address string) observe.Where {
	if strings.HasPrefix(address, "/") || strings.HasPrefix(address, "@") {
		return observe.Where{Network: "unix", Address: address}
	}
	return observe.Where{Network: "tcp", Address: address}
}

func httpCheck(c config.Check) (observe.Check, error) {
	u, err := url.Parse(c.HTTP)
	if err != nil {
		return nil, err
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	h := observe.HTTP{
		Name: c.Name, Where: observe.Where{Network: "tcp", Address: net.JoinHostPort(u.Hostname(), port)}, TLS: u.Scheme == "https",
		Insecure: c.Unverified, Host: cmp.Or(c.Host, u.Host), Path: u.RequestURI(), Timeout: c.Timeout,
	}
	if c.Socket != "" {
		h.Where = observe.Where{Network: "unix", Address: c.Socket}
	}
	for _, r := range c.Status {
		for status := r.From; status <= r.To; status++ {
			h.Statuses = append(h.Statuses, status)
		}
	}
	if c.Body != "" {
		if h.Matches, err = regexp.Compile(c.Body); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// has reports whether a service has a check of that kind.
func has(s config.Service, kind string) bool {
	return slices.ContainsFunc(s.Checks, func(c config.Check) bool { return c.Kind() == kind })
}

// hook calls the hooks of a service.
func (k *core) hook(s config.Service) func(context.Context, supervise.Phase, journal.Upgrade) ([]string, error) {
	if len(s.Hooks) == 0 {
		return nil
	}
	return func(ctx context.Context, phase supervise.Phase, r journal.Upgrade) (said []string, veto error) {
		results := (hooks.Runner{}).Run(ctx, s.Hooks, hooks.Event{
			Phase: string(phase), Service: r.Service, Number: r.Number, Kind: r.Kind, From: r.From, To: r.To, By: r.By, State: r.State,
			Reason: r.Reason, At: time.Now(), Evidence: r.Evidence,
		})
		for _, h := range results {
			said = append(said, strings.TrimSpace(fmt.Sprintf("hook %s: %s %s", h.Hook, h.Outcome, h.Detail)))
		}
		if v, ok := hooks.Veto(results); ok {
			veto = fmt.Errorf("%w by hook %s: %s", supervise.ErrVetoed, v.Hook, v.Detail)
		}
		return said, veto
	}
}
