package judge_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/handover-go/handover/host/judge"
)

// rates of requests, a second. The lowest makes thirty requests in a bake: too few to be compared.
var rates = []float64{0.05, 0.5, 5, 50, 500}

// builds is how many of each kind are simulated.
func builds() int {
	if os.Getenv("HANDOVER_COUNT") == "full" {
		return 1000
	}
	return 8
}

// ordinary is a build like one of those that are met: with none or some errors, fast or slow, even or uneven.
func ordinary(random *rand.Rand, rate float64) build {
	pick := func(of ...float64) float64 { return of[random.IntN(len(of))] }
	return build{
		rate:   rate,
		errors: pick(0, 0.0001, 0.001, 0.01, 0.05),
		median: time.Duration(pick(0.3, 5, 50) * float64(time.Millisecond)),
		sigma:  pick(0.3, 1),
		rss:    200 << 20,
	}
}

// outcomes counts the verdicts of many bakes, and keeps how long the failing ones took.
type outcomes struct {
	of     map[judge.Decision]int
	failed []time.Duration
	reason string // of the last that failed
}

func many(t *testing.T, p judge.Policy, pair func(*rand.Rand) (incumbent, candidate build)) outcomes {
	t.Helper()
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	all := outcomes{of: map[judge.Decision]int{}}
	for i := range builds() {
		random := rand.New(rand.NewPCG(uint64(i), 1))
		incumbent, candidate := pair(random)
		v, took := bake(random, p, incumbent, candidate)
		all.of[v.Decision]++
		if v.Decision == judge.Fail {
			all.failed = append(all.failed, took)
			all.reason = v.Reason
		}
	}
	slices.Sort(all.failed)
	return all
}

func (o outcomes) String() string {
	text := fmt.Sprintf("fail %d, pass %d, inconclusive %d", o.of[judge.Fail], o.of[judge.Pass], o.of[judge.Inconclusive])
	if n := len(o.failed); n > 0 {
		text += fmt.Sprintf("; failed after %s in the median, %s at most", o.failed[n/2], o.failed[n-1])
	}
	return text
}

// alone takes from a policy whatever protects from small differences and bursts, so that the tests by themselves are measured.
func alone(p judge.Policy) judge.Policy {
	p.Failures = 1
	p.Errors.Ratio, p.Errors.Excess = 1, 1e-12
	p.Latency.Ratio, p.Latency.Excess = 1, 1
	return p
}

func TestEqualBuildsAreFailedNoMoreThanTheBudgetAllows(t *testing.T) {
	policies := []struct {
		name   string
		policy judge.Policy
	}{
		{"defaults", judge.Policy{RSS: judge.Ceiling{Ratio: 1.5}}},
		{"tests alone", alone(judge.Policy{})},
		{"tests alone, budget 0.1", alone(judge.Policy{FalseAlarms: 0.1})},
	}
	for _, c := range policies {
		for _, rate := range rates {
			o := many(t, c.policy, func(random *rand.Rand) (build, build) {
				b := ordinary(random, rate)
				return b, b
			})
			budget := max(c.policy.FalseAlarms, 0.01)
			if float64(o.of[judge.Fail]) > math.Ceil(budget*float64(builds())) {
				t.Errorf("%s, %g requests a second: %v: the budget is %g; the last: %s", c.name, rate, o, budget, o.reason)
			}
			t.Logf("| equal, %s | %g/s | %v |", c.name, rate, o)
		}
	}
}

func TestWorseBuildsAreFailed(t *testing.T) {
	policy := judge.Policy{RSS: judge.Ceiling{Ratio: 1.5}}
	ordinary := func(rate, errors float64) build {
		return build{rate: rate, errors: errors, median: 20 * time.Millisecond, sigma: 0.7, rss: 200 << 20}
	}
	worse := []struct {
		name   string
		errors float64 // of the incumbent
		change func(*build)
		least  map[float64]float64 // share found, by rate
	}{
		{"errors 1 % times 3", 0.01, func(b *build) { b.errors *= 3 }, map[float64]float64{5: 0.5, 50: 1, 500: 1}},
		{"errors 0.1 % plus 2 points", 0.001, func(b *build) { b.errors += 0.02 }, map[float64]float64{5: 0.9, 50: 1, 500: 1}},
		{"latency times 1.5", 0.001, func(b *build) { b.median = b.median * 3 / 2 }, map[float64]float64{0.5: 0.5, 5: 0.9, 50: 1, 500: 1}},
		{"memory plus 10 % a minute", 0.001, func(b *build) { b.leak = 0.1 }, map[float64]float64{0.05: 1, 0.5: 1, 5: 1, 50: 1, 500: 1}},
	}
	for _, w := range worse {
		for _, rate := range rates {
			o := many(t, policy, func(*rand.Rand) (build, build) {
				b := ordinary(rate, w.errors)
				candidate := b
				w.change(&candidate)
				return b, candidate
			})
			if found := float64(o.of[judge.Fail]) / float64(builds()); found < w.least[rate] {
				t.Errorf("%s, %g requests a second: %v", w.name, rate, o)
			}
			t.Logf("| %s | %g/s | %v |", w.name, rate, o)
		}
	}
}

// What the tests assume does not hold here. The figures are on record; what is asked is that bursts by themselves fail no build.
func TestBurstsByThemselvesFailNoBuild(t *testing.T) {
	policy := judge.Policy{}
	strange := []struct {
		name   string
		both   func(*build)
		change func(*build) // of the candidate alone
		most   float64      // share failed
	}{
		{"errors in groups of 5", func(b *build) { b.cluster = 5 }, func(*build) {}, 0.05},
		{"times that wander by 10 %", func(b *build) { b.wander = 0.1 }, func(*build) {}, 0.01},
		{"times that wander by 30 %", func(b *build) { b.wander = 0.3 }, func(*build) {}, 0.1},
		{"half of all requests fail for 10 s of the bake", func(*build) {}, func(b *build) { b.outage = span{3 * time.Minute, 3*time.Minute + 10*time.Second} }, 0.01},
		{"half of all requests fail for 60 s of the bake", func(*build) {}, func(b *build) { b.outage = span{3 * time.Minute, 4 * time.Minute} }, 1},
	}
	for _, s := range strange {
		for _, rate := range rates {
			o := many(t, policy, func(random *rand.Rand) (build, build) {
				b := ordinary(random, rate)
				s.both(&b)
				candidate := b
				s.change(&candidate)
				return b, candidate
			})
			if found := float64(o.of[judge.Fail]) / float64(builds()); found > s.most {
				t.Errorf("%s, %g requests a second: %v; the last: %s", s.name, rate, o, o.reason)
			}
			t.Logf("| equal, %s | %g/s | %v |", s.name, rate, o)
		}
	}
}
