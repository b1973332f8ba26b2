package judge

import (
	"errors"
	"fmt"
	"time"
)

// Policy is what a release is held to. The zero value tolerates no restart, fails on three failed checks in a row, and compares
// errors and latencies with the incumbent's; it has no ceilings.
type Policy struct {
	// Version that the candidate must report. Default: any. Another one fails at once.
	Version string

	// Failures in a row of a check, or over a ceiling, that fail a release. One by itself may be chance. Default 3.
	// A check may have its own (Check.Failures). The comparison of rates leaves out the worst intervals, one fewer than this.
	Failures int

	// Restarts of the candidate that are tolerated. Default 0: a crash fails the release.
	Restarts int

	// HeartbeatAge is how old the last sign of life from the library may be. Default 0: not judged.
	HeartbeatAge time.Duration

	// Ceilings: RSS in bytes, CPU in cores (1 is one core busy), FDs, Threads and Goroutines in numbers. Default: none.
	RSS, CPU, FDs, Threads, Goroutines Ceiling

	// FalseAlarms is the share of releases as good as the incumbent that the comparison of rates may fail, over the whole bake
	// and both tests together. More than 0, less than 1. Default 0.01.
	FalseAlarms float64

	// MinRequests is how many requests of each build a comparison needs. With fewer it is inconclusive. Default 50.
	MinRequests uint64

	Errors  Errors
	Latency Latency
}

// Ceiling bounds one resource. The zero value bounds nothing.
type Ceiling struct {
	// Max is the most that is allowed. 0: no such bound.
	Max float64

	// Ratio is the most that is allowed as a multiple of the incumbent's. At least 1, or 0: no such bound. What is more than the
	// incumbent's by less than 16 MiB, a tenth of a core, or 32 descriptors, threads or goroutines is allowed by any ratio.
	Ratio float64
}

// Errors is how the share of requests that fail is compared with the incumbent's. A share is too large if it is so by both bounds,
// and significantly.
type Errors struct {
	Off bool // do not compare

	// Ratio: allowed is so many times the incumbent's share. At least 1. Default 1.5.
	Ratio float64

	// Excess: allowed is the incumbent's share and so much more. Above 0, up to 1. Default 0.001: one request in a thousand.
	Excess float64
}

// Latency is how the time that requests take is compared with the incumbent's. It is too long if a quantile is so by both bounds, and
// the whole of it is longer by the rank test, significantly.
type Latency struct {
	Off bool // do not compare

	// Quantile that the bounds are about. Above 0, below 1. Default 0.95.
	Quantile float64

	// Ratio: allowed is so many times the incumbent's quantile. At least 1. Default 1.25: a bucket of a Histogram is a factor
	// of 1.19 wide.
	Ratio float64

	// Excess: allowed is the incumbent's quantile and so much more. Above 0. Default 1 ms.
	Excess time.Duration

	// Warmup, from the first observation: what is answered in it does not count, as caches are cold and connections few.
	// Default 10 s; negative: none.
	Warmup time.Duration
}

// Validate returns everything that is wrong with the policy, as one error, or nil.
func (p Policy) Validate() error {
	var wrong []error
	check := func(ok bool, field string, value any, want string) {
		if !ok {
			wrong = append(wrong, fmt.Errorf("%s: %v: want %s", field, value, want))
		}
	}
	check(p.Failures >= 0, "Failures", p.Failures, "1 or more, or 0 for the default")
	check(p.Restarts >= 0, "Restarts", p.Restarts, "0 or more")
	check(p.HeartbeatAge >= 0, "HeartbeatAge", p.HeartbeatAge, "0 or more")
	check(p.FalseAlarms >= 0 && p.FalseAlarms < 1, "FalseAlarms", p.FalseAlarms, "a share above 0 and below 1, or 0 for the default")
	for _, k := range kinds {
		c := k.ceiling(p)
		check(c.Max >= 0, k.field+".Max", c.Max, "0 or more")
		check(c.Ratio == 0 || c.Ratio >= 1, k.field+".Ratio", c.Ratio, "1 or more, or 0 for none")
	}
	check(p.Errors.Ratio == 0 || p.Errors.Ratio >= 1, "Errors.Ratio", p.Errors.Ratio, "1 or more, or 0 for the default")
	check(p.Errors.Excess >= 0 && p.Errors.Excess <= 1, "Errors.Excess", p.Errors.Excess, "a share above 0 and up to 1, or 0 for the default")
	check(p.Latency.Quantile >= 0 && p.Latency.Quantile < 1, "Latency.Quantile", p.Latency.Quantile, "a share above 0 and below 1, or 0 for the default")
	check(p.Latency.Ratio == 0 || p.Latency.Ratio >= 1, "Latency.Ratio", p.Latency.Ratio, "1 or more, or 0 for the default")
	check(p.Latency.Excess >= 0, "Latency.Excess", p.Latency.Excess, "above 0, or 0 for the default")
	return errors.Join(wrong...)
}

// withDefaults fills in what was left out.
func (p Policy) withDefaults() Policy {
	p.Failures = or(p.Failures, 3)
	p.FalseAlarms = or(p.FalseAlarms, 0.01)
	p.MinRequests = or(p.MinRequests, 50)
	p.Errors.Ratio = or(p.Errors.Ratio, 1.5)
	p.Errors.Excess = or(p.Errors.Excess, 0.001)
	p.Latency.Quantile = or(p.Latency.Quantile, 0.95)
	p.Latency.Ratio = or(p.Latency.Ratio, 1.25)
	p.Latency.Excess = or(p.Latency.Excess, time.Millisecond)
	p.Latency.Warmup = or(p.Latency.Warmup, 10*time.Second)
	return p
}

// share is what each comparison of rates has of FalseAlarms.
func (p Policy) share() float64 {
	if p.Errors.Off || p.Latency.Off {
		return p.FalseAlarms
	}
	return p.FalseAlarms / 2
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}
