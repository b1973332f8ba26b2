package judge_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/handover-go/handover/host/judge"
)

// badness orders decisions: more of what is bad may only lead upwards.
var badness = map[judge.Decision]int{judge.Pass: 0, judge.Undecided: 0, judge.Inconclusive: 1, judge.Fail: 2}

// interval is what a drawn bake has brought in five seconds.
type interval struct {
	requests, errors uint64
	slow             uint64 // of the requests
	rss              uint64
	failed           bool
}

func intervals(t *rapid.T) []interval {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) interval {
		n := rapid.Uint64Range(0, 300).Draw(t, "requests")
		return interval{
			requests: n,
			errors:   rapid.Uint64Range(0, n).Draw(t, "errors"),
			slow:     rapid.Uint64Range(0, n).Draw(t, "slow"),
			rss:      rapid.Uint64Range(50<<20, 400<<20).Draw(t, "rss"),
			failed:   rapid.Bool().Draw(t, "failed"),
		}
	}), 1, 40).Draw(t, "intervals")
}

func observations(all []interval) []judge.Observation {
	var sum judge.Traffic
	out := make([]judge.Observation, len(all))
	for i, v := range all {
		sum.Requests += v.requests
		sum.Errors += v.errors
		for range v.slow {
			sum.Latency.Add(100 * time.Millisecond)
		}
		for range v.requests - v.slow {
			sum.Latency.Add(10 * time.Millisecond)
		}
		out[i] = rss(v.rss)
		out[i].Traffic = sum
		out[i].Checks = []judge.Check{{Name: "x", OK: !v.failed}}
	}
	return out
}

func incumbent(t *rapid.T) judge.Baseline {
	n := rapid.Uint64Range(0, 3000).Draw(t, "incumbent")
	return judge.Baseline{
		Resources: judge.Resources{Known: judge.KnownRSS, RSS: 100 << 20},
		Traffic:   traffic(n, n*rapid.Uint64Range(0, 100).Draw(t, "percent")/100, 20*time.Millisecond),
	}
}

func verdict(p judge.Policy, of judge.Baseline, all []interval) judge.Verdict {
	c, _ := hear(judge.New(p, of), observations(all)...)
	return c.Close()
}

func TestWorseObservationsNeverImproveAVerdict(t *testing.T) {
	for name, c := range map[string]struct {
		policy judge.Policy
		worsen func(*interval)
	}{
		"errors":                {judge.Policy{Latency: judge.Latency{Off: true}}, func(v *interval) { v.errors = min(v.requests, v.errors+1+v.errors/3) }},
		"errors, bursts count":  {judge.Policy{Latency: judge.Latency{Off: true}, Failures: 1}, func(v *interval) { v.errors = min(v.requests, v.errors+1+v.errors/3) }},
		"latency, bursts count": {judge.Policy{Errors: judge.Errors{Off: true}, Failures: 1}, func(v *interval) { v.slow = min(v.requests, v.slow+1+v.slow/3) }},
		"memory":                {calm(judge.Policy{RSS: judge.Ceiling{Ratio: 1.5}}), func(v *interval) { v.rss += v.rss / 4 }},
		"checks":                {calm(judge.Policy{}), func(v *interval) { v.failed = true }},
	} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				of, better := incumbent(t), intervals(t)
				for i := range better {
					better[i].failed = better[i].failed && name == "checks"
				}
				worse := slices.Clone(better)
				for i := range worse {
					if rapid.Bool().Draw(t, "worsen") {
						c.worsen(&worse[i])
					}
				}
				a, b := verdict(c.policy, of, better), verdict(c.policy, of, worse)
				if badness[b.Decision] < badness[a.Decision] {
					t.Fatalf("%s: %q became %s: %q", a.Decision, a.Reason, b.Decision, b.Reason)
				}
			})
		})
	}
}

func TestCaseIsAValue(t *testing.T) {
	// Nothing fails by this policy, so that every part of a case goes on changing.
	policy := judge.Policy{
		RSS:     judge.Ceiling{Ratio: 1000},
		Errors:  judge.Errors{Ratio: 1000, Excess: 1},
		Latency: judge.Latency{Ratio: 1e6, Warmup: -1},
	}
	rapid.Check(t, func(t *rapid.T) {
		of, all := incumbent(t), observations(intervals(t))
		for i := range all {
			all[i].Checks[0].Failures = 1000
		}
		at := rapid.IntRange(0, len(all)).Draw(t, "at")
		c, _ := hear(judge.New(policy, of), all[:at]...)
		before := c.Close()
		for range 3 { // other futures of the same case
			d := c
			for i := range uint64(5) {
				d, _ = d.With(judge.Observation{
					At:      start.Add(time.Hour),
					Checks:  []judge.Check{{Name: "x", Failures: 1000, Detail: "another"}, {Name: "y", Failures: 1000}},
					Traffic: traffic(500+i, 500+i, time.Second),
				})
			}
			d.Close()
		}
		if after := c.Close(); !reflect.DeepEqual(before, after) {
			t.Fatalf("the case has changed: %+v, before %+v", after, before)
		}
	})
}

func TestFailIsNeverWithoutEvidence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := verdict(judge.Policy{RSS: judge.Ceiling{Ratio: 1.5}}, incumbent(t), intervals(t))
		worst := judge.Pass
		for _, e := range v.Evidence {
			if e.Detail == "" || e.Test == "" || badness[e.Outcome] < 0 {
				t.Fatalf("evidence says nothing: %+v", e)
			}
			if badness[e.Outcome] > badness[worst] {
				worst = e.Outcome
			}
		}
		if v.Decision != worst || v.Reason == "" {
			t.Fatalf("%s, but the worst test is %s: %q", v.Decision, worst, v.Reason)
		}
	})
}
