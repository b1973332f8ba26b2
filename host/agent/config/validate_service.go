package config

import (
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

var serviceName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// ociReference is as much of its syntax as tells a mistake; what registries allow beyond is theirs.
var ociReference = regexp.MustCompile(`^[^/]+/[^:@]+[:@].+$`)

// reserved are names that the agent uses itself, beside those of services.
var reserved = []string{"agent", "services", "handover-agent"}

func (v *validation) name(s *Service, field string) {
	field += ".name"
	before, twice := v.names[s.Name]
	switch {
	case s.Name == "":
		v.fault(field, "", "missing: give each service a name")
		return
	case !serviceName.MatchString(s.Name):
		v.fault(field, fmt.Sprintf("%q", s.Name), "give up to 64 letters, digits, and . _ - after the first")
	case slices.Contains(reserved, s.Name) || strings.HasPrefix(s.Name, "uid-") || filepath.Join(v.c.State, s.Name) == filepath.Clean(v.c.Log):
		v.fault(field, fmt.Sprintf("%q", s.Name), "the agent's own: give another name")
	case twice:
		v.fault(field, fmt.Sprintf("%q", s.Name), "given before as "+before+": give another name")
		return
	}
	v.names[s.Name] = field
	v.socket(field, filepath.Join(v.c.Runtime, s.Name+".sock"))
}

func (v *validation) service(s *Service, field string) {
	if len(s.Command) == 0 && s.Release.Source == "" {
		v.fault(field+".command", "", "missing: give it, or release.source for a release that brings its own")
	}
	if len(s.Command) > 0 {
		v.program(field+".command", s.Command, s)
	}
	v.environment(s, field)
	v.absolute(field+".directory", s.Directory)
	v.identity(s, field)
	for name := range maps.Keys(s.Limits) {
		v.among(field+".limits."+name, name, resources)
	}
	if s.Cgroup != "" && (!strings.HasPrefix(s.Cgroup, "/") || filepath.Clean(s.Cgroup) != s.Cgroup || s.Cgroup == "/") {
		v.fault(field+".cgroup", fmt.Sprintf("%q", s.Cgroup), "give a path below the root of the control groups such as /handover/"+s.Name)
	}
	for i, address := range s.Listen {
		at := fmt.Sprintf("%s.listen[%d]", field, i)
		v.address(at, address)
		v.taken(at, address)
	}
	v.replacing(s, field)
	if _, given := v.at[field+".health"]; given && s.Health.Path == "" {
		v.fault(field+".health.path", "", "missing: give the path of a request such as /healthz")
	}
	if s.Health.Path != "" && !strings.HasPrefix(s.Health.Path, "/") {
		v.fault(field+".health.path", fmt.Sprintf("%q", s.Health.Path), "give the path of a request such as /healthz")
	}
	names := map[string]bool{}
	for i := range s.Checks {
		v.check(s, &s.Checks[i], names, fmt.Sprintf("%s.checks[%d]", field, i))
	}
	v.policy(s, field+".policy")
	v.release(s, field)
	for i := range s.Hooks {
		v.hook(&s.Hooks[i], fmt.Sprintf("%s.hooks[%d]", field, i))
	}
}

// strategies and endings are what a keeper knows.
var (
	strategies = []string{"nginx"}
	endings    = []string{"HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "WINCH"}
)

// replacing is how a program that does not embed handover is replaced.
func (v *validation) replacing(s *Service, field string) {
	for _, f := range []struct {
		name, value string
		known       []string
	}{{"strategy", s.Strategy, strategies}, {"stop_signal", s.StopSignal, endings}} {
		switch {
		case f.value == "":
		case len(s.Listen) == 0:
			v.fault(field+"."+f.name, fmt.Sprintf("%q", f.value), "belongs to a service with listen: leave it out")
		default:
			v.among(field+"."+f.name, f.value, f.known)
		}
	}
	for i, address := range s.Listen {
		if s.Strategy == "nginx" && strings.Contains(address, "/") {
			v.fault(fmt.Sprintf("%s.listen[%d]", field, i), fmt.Sprintf("%q", address), "give HOST:PORT: nginx removes the path of a unix socket when it ends")
		}
	}
}

// program is the first of a command: a path within the release, or one on the host.
func (v *validation) program(field string, command []string, s *Service) {
	path, given := command[0], fmt.Sprintf("%q", command[0])
	switch {
	case path == "":
		v.fault(field+"[0]", given, "give a program")
	case filepath.IsAbs(path):
		v.executable(field+"[0]", path)
	case s == nil || s.Release.Source == "":
		v.fault(field+"[0]", given, "give an absolute path: there is no release in which it could lie")
	case !filepath.IsLocal(path):
		v.fault(field+"[0]", given, "give a path within the release")
	}
}

// ours are variables by which the agent tells the service what its fields say.
var ours = map[string]string{
	"HANDOVER_NAME": "name", "HANDOVER_RUNTIME_DIR": "runtime", "HANDOVER_READY_TIMEOUT": "policy.ready_timeout", "HANDOVER_FREEZE_TIMEOUT": "policy.freeze_timeout",
	"HANDOVER_PROBATION": "policy.probation", "HANDOVER_DRAIN_TIMEOUT": "policy.drain_timeout", "HANDOVER_STOP_TIMEOUT": "policy.stop_timeout",
	"HANDOVER_MAX_DRAINING": "policy.max_draining", "HANDOVER_RELEASE": "release", "HANDOVER": "nothing",
}

// environment tells no values, which may be secret.
func (v *validation) environment(s *Service, field string) {
	for name, value := range s.Env {
		at := field + ".env." + name
		switch known, taken := ours[name]; {
		case name == "" || strings.ContainsAny(name, "=\x00"):
			v.fault(at, fmt.Sprintf("%q", name), "give the name of a variable")
		case taken:
			v.fault(at, "", "set by the agent: give "+known+" instead")
		case strings.ContainsRune(value, 0):
			v.fault(at, "", "give text without a zero byte")
		}
	}
}

// of is the fields that belong to each kind of check, beside the common ones.
var of = map[string][]string{HTTP: {"socket", "host", "status", "body", "unverified"}, GRPC: {"service"}, TCP: {"send", "expect"}}

func (v *validation) check(s *Service, c *Check, names map[string]bool, field string) {
	kinds := c.kinds()
	if len(kinds) != 1 {
		v.fault(field, strings.Join(kinds, " and "), "give exactly one of http, grpc, tcp, exec, heartbeat and version")
		return
	}
	if names[c.Name] {
		v.fault(field+".name", fmt.Sprintf("%q", c.Name), "given before: give another name")
	}
	names[c.Name] = true
	kind := kinds[0]
	for other, theirs := range of {
		for _, name := range theirs {
			if _, given := v.at[field+"."+name]; given && other != kind {
				v.fault(field+"."+name, "", fmt.Sprintf("belongs to a check of %s, this is one of %s: leave it out", other, kind))
			}
		}
	}
	v.checkOf(kind, s, c, field)
	if c.Interval < 100*time.Millisecond {
		v.fault(field+".interval", fmt.Sprintf("%q", c.Interval), "give at least 100ms")
	}
	if c.Timeout > c.Interval {
		v.fault(field+".timeout", fmt.Sprintf("%q", c.Timeout), fmt.Sprintf("give not more than interval, which is %s", c.Interval))
	}
}

func (v *validation) checkOf(kind string, s *Service, c *Check, field string) {
	switch kind {
	case HTTP:
		v.url(field+".http", c.HTTP, "http", "https")
		if v.absolute(field+".socket", c.Socket) {
			v.socket(field+".socket", c.Socket)
		}
		if _, err := regexp.Compile(c.Body); err != nil {
			v.fault(field+".body", fmt.Sprintf("%q", c.Body), "give a regular expression: "+strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		}
	case GRPC:
		v.address(field+".grpc", c.GRPC)
	case TCP:
		v.address(field+".tcp", c.TCP)
	case Exec:
		v.program(field+".exec", c.Exec, s)
	case Heartbeat:
		if len(s.Listen) > 0 {
			v.fault(field+".heartbeat", "", "a service with listen has none: use another check")
		}
	case Version:
		if s.Release.Source == "" {
			v.fault(field+".version", "", "give release.source, which promises a version")
		}
	}
}

func (v *validation) policy(s *Service, field string) {
	p := &s.Policy
	for _, r := range []struct {
		of    string
		ratio float64
	}{
		{"rss", p.RSS.Ratio}, {"cpu", p.CPU.Ratio}, {"descriptors", p.Descriptors.Ratio}, {"threads", p.Threads.Ratio}, {"goroutines", p.Goroutines.Ratio},
		{"errors", p.Errors.Ratio}, {"latency", p.Latency.Ratio},
	} {
		if r.ratio != 0 && r.ratio < 1 {
			v.fault(field+"."+r.of+".ratio", fmt.Sprintf("\"%g\"", r.ratio), "give at least 1: it is a multiple of what the release before takes")
		}
	}
	v.share(field+".false_alarms", p.FalseAlarms, p.FalseAlarms < 1, "give a share above 0 and below 1")
	v.share(field+".errors.excess", p.Errors.Excess, p.Errors.Excess <= 1, "give a share above 0 and up to 1")
	v.share(field+".latency.quantile", p.Latency.Quantile, p.Latency.Quantile < 1, "give a quantile above 0 and below 1")
	if len(s.Listen) == 0 {
		return
	}
	for _, name := range []string{"goroutines", "errors", "latency"} {
		if _, given := v.at[field+"."+name]; given {
			v.fault(field+"."+name, "", "a service with listen tells of none: leave it out")
		}
	}
}

func (v *validation) share(field string, share float64, ok bool, expected string) {
	if !ok {
		v.fault(field, fmt.Sprintf("\"%g\"", share), expected)
	}
}

func (v *validation) release(s *Service, field string) {
	r, in := &s.Release, field+".release"
	if r.Source == "" {
		if r.Unsigned || len(r.Keys) > 0 {
			v.fault(in, "", "give release.source too, or leave it out")
		}
		if s.Watch && len(s.Command) > 0 && !filepath.IsAbs(s.Command[0]) {
			v.fault(field+".watch", "", "give release.source, or a command with an absolute path, to be watched")
		}
		return
	}
	scheme, rest, remote := strings.Cut(r.Source, "://")
	layout, local := strings.CutPrefix(r.Source, "oci-layout:")
	switch {
	case local:
		if !filepath.IsAbs(layout) {
			v.fault(in+".source", fmt.Sprintf("%q", r.Source), "give oci-layout:/PATH, with :TAG or @sha256:DIGEST at its end")
		}
	case remote && scheme == "oci":
		if !ociReference.MatchString(rest) {
			v.fault(in+".source", fmt.Sprintf("%q", r.Source), "give oci://HOST/REPOSITORY:TAG or oci://HOST/REPOSITORY@sha256:DIGEST")
		}
	case remote:
		v.url(in+".source", r.Source, "http", "https", "oci")
	default:
		v.absolute(in+".source", r.Source)
	}
	switch {
	case r.Unsigned && len(r.Keys) > 0:
		v.fault(in+".unsigned", "", "excludes keys: leave one of them out")
	case !r.Unsigned && len(r.Keys) == 0:
		v.fault(in+".keys", "", "missing: give the public keys that sign releases, or unsigned: true")
	}
	for i, k := range r.Keys {
		if at := fmt.Sprintf("%s.keys[%d]", in, i); v.absolute(at, k) {
			v.keys(at, k)
		}
	}
	if r.Interval < time.Second {
		v.fault(in+".interval", fmt.Sprintf("%q", r.Interval), "give at least 1s")
	}
}

func (v *validation) url(field, text string, schemes ...string) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || !slices.Contains(schemes, u.Scheme) {
		v.fault(field, fmt.Sprintf("%q", text), "give a URL such as "+schemes[0]+"://127.0.0.1:8080/path, with "+strings.Join(schemes, " or "))
	}
}
