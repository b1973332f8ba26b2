package supervise

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/handover-go/handover/host/release"
	"github.com/handover-go/handover/host/service"
)

// passed are the variables, and the flags of "handover run", that tell the service what it is given of Config.
func (c *Config) passed() (all []passedVariable) {
	for _, d := range []struct {
		flag, variable string
		time.Duration
	}{
		{"ready-timeout", "HANDOVER_READY_TIMEOUT", c.ReadyTimeout}, {"freeze-timeout", "HANDOVER_FREEZE_TIMEOUT", c.FreezeTimeout},
		{"probation", "HANDOVER_PROBATION", c.Probation}, {"drain-timeout", "HANDOVER_DRAIN_TIMEOUT", c.DrainTimeout},
		{"stop-timeout", "HANDOVER_STOP_TIMEOUT", c.StopTimeout},
	} {
		if d.Duration > 0 {
			all = append(all, passedVariable{d.flag, d.variable, d.String()})
		}
	}
	if c.MaxDraining > 0 {
		all = append(all, passedVariable{"max-draining", "HANDOVER_MAX_DRAINING", strconv.Itoa(c.MaxDraining)})
	}
	return all
}

type passedVariable struct{ flag, variable, value string }

// start is how a process of the service is to be started by now. nil for one that starts its successor itself, as itself.
func (c *Config) start() *service.Start {
	if c.Strategy == nginxStrategy {
		return nil
	}
	s := &service.Start{Args: c.Args, Env: c.environment(), Limits: c.Limits, Dir: c.Directory}
	if c.Releases == nil && s.Dir == "" {
		s.Dir = "/"
	}
	for _, p := range c.passed() {
		s.Env = append(s.Env, p.variable+"="+p.value)
	}
	return s
}

// nginxStrategy is the Config.Strategy by which a program is replaced by its own master.
const nginxStrategy = "nginx"

// request asks the keeper for a release, or a file. A build that is returned to is started as it was before.
func (u *upgrade) request(r release.Release, binary string, returning bool) service.Request {
	s, rollback := u.s, u.snapshot().Kind == "rollback"
	q := service.Request{Label: u.label(returning)}
	switch {
	case r.ID != "":
		q.Binary, q.Dir = s.config.program(r)
		if s.config.start() != nil { // which names the directory to run in
			q.Dir = r.Dir
		}
	case returning || rollback && binary == "":
		q.Rollback = true
		return q
	case binary != "":
		q.Binary = binary
	default:
		q.Binary = s.config.Command
	}
	if s.hasKeeper() {
		if q.Start = s.config.start(); q.Start != nil {
			q.Start.Kept = returning || rollback
		}
	} else if r.ID == "" {
		s.log.Warn("the service has no keeper: arguments, environment and limits stay what they are", "upgrade", u.snapshot().Number)
	}
	return q
}

// label is what the keeper tells of every process that this upgrade has started.
func (u *upgrade) label(returning bool) string {
	r := u.snapshot()
	label := fmt.Sprintf("%s/%d", r.Service, r.Number)
	if returning {
		label += "/returned"
	}
	return label
}

// hasKeeper reports whether a keeper answers for the service.
func (s *Supervisor) hasKeeper() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status == nil || s.status.Keeper != nil
}

// Waiting names what of the configuration holds from the next upgrade on: args, limits, dir, and env with the name of a variable. Nothing is waiting
// for what nobody can say.
func (s *Supervisor) Waiting(ctx context.Context) ([]string, error) {
	start := s.config.start()
	if start == nil {
		return nil, nil
	}
	c, err := s.keepers.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return s.differs(ctx, c, *start)
}

// differs is Waiting of a keeper that is reached, and says where that does not know how to start anything otherwise.
func (s *Supervisor) differs(ctx context.Context, c *service.Client, start service.Start) (all []string, err error) {
	differs, known, err := c.Differs(ctx, start)
	if err == nil && !known && s.hasKeeper() {
		s.log.Warn("the keeper is of a build that starts the service only as it was started itself: replace it, by handover upgrade --keeper, for other arguments, variables or limits")
	}
	for _, what := range differs {
		name, variable := strings.CutPrefix(what, "env ")
		if i := slices.IndexFunc(fields, func(f telling) bool { return variable && f.variable == name }); i >= 0 {
			what = fields[i].name
		}
		all = append(all, what)
	}
	return all, err
}

// telling is a field of Config of which a service is told by a variable.
type telling struct{ variable, name string }

var fields = []telling{
	{"HANDOVER_READY_TIMEOUT", "ready timeout"}, {"HANDOVER_FREEZE_TIMEOUT", "freeze timeout"}, {"HANDOVER_PROBATION", "probation"},
	{"HANDOVER_DRAIN_TIMEOUT", "drain timeout"}, {"HANDOVER_STOP_TIMEOUT", "stop timeout"}, {"HANDOVER_MAX_DRAINING", "max draining"},
}

// anew is what the release that serves is to be started anew for; none for a rollback, which starts builds as they were.
func (u *upgrade) anew(ctx context.Context) []string {
	if u.snapshot().Kind != "upgrade" {
		return nil
	}
	waiting, err := u.s.Waiting(ctx)
	if err != nil {
		u.s.log.Warn("it is not known how the service was started", "error", err)
	}
	return waiting
}

// EndTimeout is how long to wait for the end of a service that has been told to end, and of its keeper: longer than the keeper waits before it kills
// (keeper.StopTimeout; TestAgentWaitsLongerForTheEndThanAKeeper).
func EndTimeout(own time.Duration, plain bool) time.Duration {
	if !plain {
		own = max(own+10*time.Second, 90*time.Second)
	}
	return own + stopMargin
}

// stopMargin is what a keeper needs beside the time that it gives the service.
const stopMargin = 5 * time.Second
