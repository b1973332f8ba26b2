package keeper

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/handover-go/handover/internal/wire"
)

// manner is how a build is started, where whoever asked for it has said so. It goes with the build: to each later start of it, and back with it.
// The environment may have secrets, so a manner is never logged.
type manner struct {
	Args   []string
	Env    []string // in the place of this process's and of Config.Env
	Limits []Limit
	Dir    string // to run in; empty: where the build was asked for
}

// mannerOf reads what someone has asked for.
func mannerOf(s *wire.Start) (*manner, error) {
	if s == nil {
		return nil, nil
	}
	m := &manner{Args: s.Args, Env: s.Env, Dir: s.Dir}
	for _, text := range s.Limits {
		l, err := ParseLimit(text)
		if err != nil {
			return nil, err
		}
		m.Limits = append(m.Limits, l)
	}
	if len(m.Limits) > 0 && !becomes.Load() {
		return nil, errBecome
	}
	for i, v := range s.Env {
		if name, _, ok := strings.Cut(v, "="); !ok || name == "" { // its text may be a secret
			return nil, fmt.Errorf("variable %d of the environment: give KEY=value", i+1)
		}
	}
	if s.Dir != "" && !filepath.IsAbs(s.Dir) {
		return nil, fmt.Errorf("the directory %q to run in: give an absolute path", s.Dir)
	}
	return m, nil
}

// arrange settles how a build is started that was asked for so.
func (k *Keeper) arrange(s stock, w wanted) stock {
	s.label, s.manner = w.label, w.manner
	if w.manner == nil {
		s.manner = k.shelf.running.manner
	}
	if w.kept {
		if before, ok := k.keptAs(s); ok {
			s.manner = before.manner
		}
	}
	if s.manner != nil && len(k.differs(stock{}, s.manner)) == 0 && (s.manner.Dir == "" || s.manner.Dir == k.config.Dir && s.dir == "") {
		s.manner = nil // or the same build would be taken for another
	}
	return s
}

// keptAs is the same build as it was started before: by the same wish, if that is asked again; else the one before the one that serves, to which
// one returns.
func (k *Keeper) keptAs(s stock) (stock, bool) {
	all := slices.DeleteFunc([]stock{k.shelf.previous, k.shelf.running}, func(b stock) bool {
		return b.Digest == "" || b.Digest != s.Digest || b.dir != "" && k.directory(b.dir) != k.directory(s.dir) // the first was asked for with none
	})
	if len(all) == 0 {
		return stock{}, false
	}
	i := slices.IndexFunc(all, func(b stock) bool { return s.label != "" && b.label == s.label })
	return all[max(i, 0)], true
}

// differs names what would be other for a build that is started in that manner than it is for s.
func (k *Keeper) differs(s stock, m *manner) []string {
	all := []string{}
	if !slices.Equal(k.arguments(s), m.Args) {
		all = append(all, "args")
	}
	if was := s.manner; was != nil && was.Dir != m.Dir || was == nil && m.Dir != "" && m.Dir != k.config.Dir {
		all = append(all, "dir")
	}
	was, is := variables(k.given(s)), variables(m.Env)
	for _, name := range slices.Sorted(maps.Keys(union(was, is))) {
		before, there := was[name]
		if after, still := is[name]; there != still || !alike(before, after) {
			all = append(all, "env "+name)
		}
	}
	if limited(k.limits(s)) != limited(m.Limits) {
		all = append(all, "limits")
	}
	return all
}

// variables are those of an environment by name, the last of each, without what a keeper sets itself.
func variables(env []string) map[string]string {
	all := map[string]string{}
	for _, v := range env {
		if name, value, _ := strings.Cut(v, "="); !own(name) {
			all[name] = value
		}
	}
	return all
}

func union(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// alike takes a duration for the same however it is written: a flag has it in its own way.
func alike(a, b string) bool {
	if a == b {
		return true
	}
	x, err := time.ParseDuration(a)
	y, err2 := time.ParseDuration(b)
	return errors.Join(err, err2) == nil && x == y
}

// own reports whether a variable is meant for this process alone, or set by it for each process of the service.
func own(name string) bool {
	return slices.Contains([]string{"NOTIFY_SOCKET", "SYSTEMD_EXEC_PID", stateVariable, releaseVariable}, name) ||
		strings.HasPrefix(name, "LISTEN_") || strings.HasPrefix(name, "WATCHDOG_")
}

// arguments of a build, without its program.
func (k *Keeper) arguments(s stock) []string {
	if s.manner != nil {
		return s.manner.Args
	}
	return k.config.Args
}

// limits of each process of a build.
func (k *Keeper) limits(s stock) []Limit {
	if s.manner != nil {
		return s.manner.Limits
	}
	return k.config.Limits
}

// place is where a build runs.
func (k *Keeper) place(s stock) string {
	if s.manner != nil && s.manner.Dir != "" {
		return s.manner.Dir
	}
	return k.directory(s.dir)
}

// given is the environment of a build as others have given it.
func (k *Keeper) given(s stock) []string {
	if s.manner != nil {
		return slices.Clone(s.manner.Env)
	}
	return slices.Concat(os.Environ(), k.config.Env)
}

// stopTimeout is how long the service has to end: as long as the generation that takes the longest has by what it was started with.
func (k *Keeper) stopTimeout() time.Duration {
	if k.config.StopTimeout > 0 {
		return k.config.StopTimeout
	}
	longest := time.Duration(0)
	for _, g := range k.generations {
		own, _ := time.ParseDuration(variables(k.given(g.build))["HANDOVER_STOP_TIMEOUT"])
		longest = max(longest, StopTimeout(own, len(k.config.Listen) > 0))
	}
	return cmp.Or(longest, StopTimeout(0, len(k.config.Listen) > 0))
}

const (
	defaultStopTimeout = 90 * time.Second
	// stopMargin is what a process needs beside the time that it takes by itself, to cut what is left and to exit.
	stopMargin = 10 * time.Second
)

// StopTimeout is how long a keeper without a Config.StopTimeout gives a service to end whose HANDOVER_STOP_TIMEOUT is own, or 0 if it has none:
// a plain program, with Config.Listen, so long; one that embeds handover a little more, as it ends by then itself, and at least 90 s.
func StopTimeout(own time.Duration, plain bool) time.Duration {
	if plain {
		return cmp.Or(max(own, 0), defaultStopTimeout)
	}
	return max(own+stopMargin, defaultStopTimeout)
}
