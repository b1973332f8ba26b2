package judge

import "fmt"

// Evidence is what one test has found. What a test has no use for is 0.
type Evidence struct {
	Test    string   `json:"test"`              // "version", "restarts", "heartbeat", "check NAME", "rss", "cpu", "descriptors", "threads", "goroutines", "errors", "latency"
	Outcome Decision `json:"outcome"`           // Pass, Fail or Inconclusive
	Value   float64  `json:"value"`             // of the candidate: failures in a row; bytes, cores, a number; a share or seconds, without the worst intervals
	Against float64  `json:"against,omitempty"` // the same of the incumbent
	Limit   float64  `json:"limit,omitempty"`   // the largest Value that is allowed; of checks and the heartbeat, the one that fails
	P       float64  `json:"p,omitempty"`       // how probable so much or more is of a build that is as good as the incumbent
	Alpha   float64  `json:"alpha,omitempty"`   // the largest P that fails, at the look that was taken last
	// Detectable is the smallest share of errors that would have failed at the last look, without the worst intervals. It says what a
	// Pass is worth: where traffic is low, it is large.
	Detectable float64 `json:"detectable,omitempty"`

	N      uint64 `json:"n,omitempty"` // what was counted: outcomes, readings, requests of the candidate
	Detail string `json:"detail"`      // one line, with figures
}

// Passed reports whether the test found nothing wrong.
func (e Evidence) Passed() bool { return e.Outcome == Pass }

// evidence is what every test that the policy asks for has found, in a fixed order.
func (c *Case) evidence() []Evidence {
	var all []Evidence
	if c.policy.Version != "" {
		all = append(all, c.versionEvidence())
	}
	all = append(all, c.restartEvidence())
	if c.policy.HeartbeatAge > 0 {
		all = append(all, c.beat.evidence("heartbeat", "heartbeat"))
	}
	for i := range c.checks {
		all = append(all, c.checks[i].evidence("check "+c.checks[i].name, "check "+c.checks[i].name))
	}
	for i, k := range kinds {
		if k.ceiling(c.policy) != (Ceiling{}) {
			all = append(all, c.ceilingEvidence(i))
		}
	}
	if !c.policy.Errors.Off {
		all = append(all, c.errors.evidence)
	}
	if !c.policy.Latency.Off {
		all = append(all, c.latency.evidence)
	}
	return all
}

func (c *Case) versionEvidence() Evidence {
	e := Evidence{Test: "version", Outcome: Pass, Detail: fmt.Sprintf("version %q", c.version)}
	switch c.version {
	case c.policy.Version:
	case "":
		e.Outcome = Inconclusive
		e.Detail = fmt.Sprintf("the version was not reported, %q was promised", c.policy.Version)
	default:
		e.Outcome = Fail
		e.Detail = fmt.Sprintf("version %q is reported, %q was promised", c.version, c.policy.Version)
	}
	return e
}

func (c *Case) restartEvidence() Evidence {
	e := Evidence{Test: "restarts", Outcome: Pass, Value: float64(c.restart), Limit: float64(c.policy.Restarts)}
	e.Detail = fmt.Sprintf("restarts: %d, tolerated %d", c.restart, c.policy.Restarts)
	if c.restart > c.policy.Restarts {
		e.Outcome = Fail
	}
	return e
}

func (c *Case) ceilingEvidence(kind int) Evidence {
	k, s := kinds[kind], c.ceiling[kind]
	e := Evidence{Test: k.name, Outcome: s.outcome(), Value: s.value, N: s.heard}
	limit, bounded := c.bound(kind)
	e.Limit = limit
	e.Detail = fmt.Sprintf("%s %s, allowed are %s", k.name, k.text(s.value), k.text(limit))
	if c.incumbent.Known&k.known != 0 {
		e.Against = k.value(c.incumbent)
		e.Detail += fmt.Sprintf(" (incumbent %s)", k.text(e.Against))
	}
	switch {
	case s.heard == 0:
		e.Outcome, e.Detail = Inconclusive, k.name+" could not be read"
	case !bounded:
		e.Outcome, e.Detail = Inconclusive, k.name+" of the incumbent is not known"
	case s.failed > 0:
		e.Detail += fmt.Sprintf(": over it, %d in a row", s.failed)
	}
	return e
}
