package judge

import (
	"fmt"
	"slices"
	"time"
)

// Case is one candidate's bake, as far as it was observed. It is a value: With returns the next one and leaves this one as it was.
type Case struct {
	policy    Policy // with its defaults
	incumbent Resources

	heard   int       // observations
	begun   time.Time // when the first was made
	checks  []streak  // by name, in the order in which they were first heard
	beat    streak
	ceiling [len(kinds)]streak
	version string // the last that was reported
	restart int
	traffic Traffic // as last reported
	errors  errorShare
	latency slowness

	verdict Verdict // one that failed stands
}

// New opens a case. The policy is one that Validate finds nothing wrong with.
func New(policy Policy, baseline Baseline) Case {
	policy = policy.withDefaults()
	return Case{
		policy:    policy,
		incumbent: baseline.Resources,
		errors:    newErrorShare(policy, baseline),
		latency:   newSlowness(policy, baseline),
	}
}

// With hears one more observation. The verdict is Fail or Undecided; once it is Fail, it stands, whatever is heard later.
func (c Case) With(o Observation) (Case, Verdict) {
	if c.verdict.Decision == Fail {
		return c, c.verdict
	}
	if c.heard == 0 {
		c.begun = o.At
	}
	c.heard++
	c.hear(o)
	c.verdict = sum(c.evidence(), false)
	return c, c.verdict
}

// Close ends the bake: what is to be compared is looked at once more. The verdict is Pass, Fail or Inconclusive.
func (c Case) Close() Verdict {
	if c.verdict.Decision == Fail {
		return c.verdict
	}
	if c.heard == 0 {
		return sum(nil, true)
	}
	c.errors.look(true)
	c.latency.look(true)
	return sum(c.evidence(), true)
}

// hear takes an observation in.
func (c *Case) hear(o Observation) {
	p := c.policy
	c.checks = slices.Clone(c.checks) // the case before has the old ones
	for _, outcome := range o.Checks {
		s := c.check(outcome.Name)
		s.limit = or(outcome.Failures, p.Failures)
		s.hear(outcome.OK, outcome.Detail)
	}
	if p.HeartbeatAge > 0 && o.Heartbeat.Known {
		age := o.At.Sub(o.Heartbeat.At)
		c.beat.limit = p.Failures
		c.beat.hear(age <= p.HeartbeatAge, fmt.Sprintf("%s old, %s is allowed", brief(age), brief(p.HeartbeatAge)))
	}
	for i, k := range kinds {
		if o.Resources.Known&k.known != 0 {
			s := &c.ceiling[i]
			s.limit = p.Failures
			s.value = k.value(o.Resources)
			limit, bounded := c.bound(i)
			s.hear(!bounded || s.value <= limit, "")
		}
	}
	if o.Version != "" {
		c.version = o.Version
	}
	c.restart = max(c.restart, o.Restarts)

	interval := o.Traffic.Since(c.traffic)
	c.traffic = o.Traffic
	c.errors.hear(interval)
	c.errors.look(false)
	if o.At.Sub(c.begun) >= p.Latency.Warmup {
		c.latency.hear(interval.Latency)
		c.latency.look(false)
	}
}

// check is the streak of the check of that name.
func (c *Case) check(name string) *streak {
	for i := range c.checks {
		if c.checks[i].name == name {
			return &c.checks[i]
		}
	}
	c.checks = append(c.checks, streak{name: name})
	return &c.checks[len(c.checks)-1]
}

// bound is the lower of the bounds on a resource, and whether there is any.
func (c *Case) bound(kind int) (limit float64, bounded bool) {
	k := kinds[kind]
	ceiling := k.ceiling(c.policy)
	limit, bounded = ceiling.Max, ceiling.Max > 0
	if ceiling.Ratio > 0 && c.incumbent.Known&k.known != 0 {
		v := k.value(c.incumbent)
		relative := max(v*ceiling.Ratio, v+k.slack)
		if !bounded || relative < limit {
			limit = relative
		}
		bounded = true
	}
	return limit, bounded
}
