package judge_test

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/handover-go/handover/host/judge"
)

// build is a service as the simulation knows it: requests come as a Poisson process, fail independently, and take a log-normal time.
type build struct {
	rate    float64 // requests a second
	errors  float64 // share of them
	median  time.Duration
	sigma   float64 // of the logarithm of the time
	rss     float64 // bytes at the beginning
	leak    float64 // share of rss by which it grows each minute
	cluster float64 // errors come in groups of so many in the mean, of geometric size; 0 or 1: alone
	wander  float64 // standard deviation of the logarithm of a factor on all times of an interval, which wanders (0.9 from one to the next)
	outage  span    // half of all requests fail meanwhile
}

type span struct{ from, to time.Duration }

// length and every are those of a bake; the incumbent was watched as long as the candidate.
const (
	length = 10 * time.Minute
	every  = 5 * time.Second
)

// run is a build that is being simulated.
type run struct {
	build
	random  *rand.Rand
	at      time.Duration
	drift   float64
	traffic judge.Traffic
	shares  []float64 // of the buckets, while the build does not wander
}

func newRun(random *rand.Rand, b build) *run {
	r := &run{build: b, random: random}
	r.shares = r.buckets(1)
	return r
}

// buckets are the shares of requests that fall into each bucket, with a factor on their time.
func (r *run) buckets(factor float64) []float64 {
	shares := make([]float64, judge.Buckets)
	below := 0.0
	for i, bound := range judge.Bounds() {
		z := math.Log(float64(bound)/(float64(r.median)*factor)) / r.sigma
		up := math.Erfc(-z/math.Sqrt2) / 2
		shares[i] = up - below
		below = up
	}
	shares[judge.Buckets-1] = 1 - below
	return shares
}

// step goes on by one interval. A Poisson process that is split at random by bucket is one such process for each bucket.
func (r *run) step() {
	r.at += every
	shares := r.shares
	if r.wander > 0 {
		r.drift = 0.9*r.drift + math.Sqrt(1-0.81)*r.wander*r.random.NormFloat64()
		shares = r.buckets(math.Exp(r.drift))
	}
	var n uint64
	for i, share := range shares {
		c := poisson(r.random, r.rate*every.Seconds()*share)
		_ = r.traffic.Latency.AddCount(i, c)
		n += c
	}
	r.traffic.Requests += n
	r.traffic.Errors += min(n, r.failed(n))
}

// failed is how many of n requests fail.
func (r *run) failed(n uint64) uint64 {
	if r.outage.from < r.at && r.at <= r.outage.to {
		return n / 2
	}
	if r.cluster <= 1 {
		return binomial(r.random, n, r.errors)
	}
	var all uint64
	for range poisson(r.random, float64(n)*r.errors/r.cluster) {
		all += 1 + uint64(math.Log(1-r.random.Float64())/math.Log(1-1/r.cluster))
	}
	return all
}

func (r *run) resources() judge.Resources {
	rss := r.rss * math.Pow(1+r.leak, r.at.Minutes())
	return judge.Resources{Known: judge.KnownRSS, RSS: uint64(rss * (1 + 0.03*r.random.NormFloat64()))}
}

// bake simulates both builds, one after the other, and returns the verdict on the candidate, and how long it took.
func bake(random *rand.Rand, p judge.Policy, incumbent, candidate build) (judge.Verdict, time.Duration) {
	before := newRun(random, incumbent)
	baseline := judge.Baseline{Resources: before.resources()}
	for before.at < length {
		last := before.traffic
		before.step()
		baseline.Add(before.traffic.Since(last))
	}
	start := time.Unix(1e9, 0)
	c := judge.New(p, baseline)
	r := newRun(random, candidate)
	for r.at < length {
		r.step()
		var v judge.Verdict
		if c, v = c.With(judge.Observation{At: start.Add(r.at), Resources: r.resources(), Traffic: r.traffic}); v.Decision == judge.Fail {
			return v, r.at
		}
	}
	return c.Close(), r.at
}

// poisson draws a number. Above a mean of ten it is PTRS: W. Hörmann, The Transformed Rejection Method for Generating Poisson Random
// Variables, Insurance: Mathematics and Economics 12, 1993.
func poisson(r *rand.Rand, mean float64) uint64 {
	if mean < 1e-9 {
		return 0
	}
	if mean < 10 {
		k, product, limit := uint64(0), r.Float64(), math.Exp(-mean)
		for ; product > limit; k++ {
			product *= r.Float64()
		}
		return k
	}
	b := 0.931 + 2.53*math.Sqrt(mean)
	a := -0.059 + 0.02483*b
	inverse := 1.1239 + 1.1328/(b-3.4)
	accept := 0.9277 - 3.6224/(b-2)
	for {
		u, v := r.Float64()-0.5, r.Float64()
		us := 0.5 - math.Abs(u)
		k := math.Floor((2*a/us+b)*u + mean + 0.43)
		if us >= 0.07 && v <= accept {
			return uint64(k)
		}
		if k < 0 || us < 0.013 && v > us {
			continue
		}
		gamma, _ := math.Lgamma(k + 1)
		if math.Log(v*inverse/(a/(us*us)+b)) <= k*math.Log(mean)-mean-gamma {
			return uint64(k)
		}
	}
}

// binomial draws how many of n happen. A large number is drawn as a Poisson one: errors are few.
func binomial(r *rand.Rand, n uint64, p float64) (k uint64) {
	if n > 200 {
		return min(n, poisson(r, float64(n)*p))
	}
	for range n {
		if r.Float64() < p {
			k++
		}
	}
	return k
}
