package judge

import (
	"fmt"
	"slices"
	"time"
)

// slowness compares the time that requests take with the incumbent's.
type slowness struct {
	looks
	incumbent Histogram
	ranks     ranks   // among the incumbent's
	effect    float64 // design effect of the incumbent's intervals
	quantile  float64
	limit     time.Duration // the largest quantile that is allowed
	all       Histogram     // of the candidate
	worst     []slow        // the slowest intervals, which may have been a burst
	evidence  Evidence
}

// slow is an interval, and how much its requests outrank the incumbent's, all together.
type slow struct {
	excess  float64
	latency Histogram
}

func newSlowness(p Policy, b Baseline) slowness {
	s := slowness{looks: newLooks(p), incumbent: b.Traffic.Latency, quantile: p.Latency.Quantile, worst: make([]slow, p.Failures-1)}
	against := s.incumbent.Quantile(s.quantile)
	s.ranks = newRanks(s.incumbent)
	s.effect = designEffect(b.Intervals, s.ranks.variance(), func(t Traffic) (float64, float64) {
		n := float64(t.Latency.Total())
		return n, s.ranks.excess(t.Latency) / max(n, 1)
	})
	s.limit = max(time.Duration(float64(against)*p.Latency.Ratio), against+p.Latency.Excess)
	s.evidence = Evidence{Test: "latency", Outcome: Inconclusive, Against: against.Seconds(), Limit: s.limit.Seconds()}
	s.evidence.Detail = "latency: " + s.lacking(0, s.incumbent.Total())
	return s
}

// hear takes in what an interval has brought.
func (s *slowness) hear(interval Histogram) {
	s.all = s.all.Merge(interval)
	excess := s.ranks.excess(interval)
	i, _ := slices.BinarySearchFunc(s.worst, excess, func(w slow, v float64) int { return descending(w.excess, v) })
	if i < len(s.worst) {
		s.worst = slices.Insert(slices.Clone(s.worst), i, slow{excess, interval})[:len(s.worst)]
	}
}

// look tests all that was answered since the warm-up, if a look is due.
func (s *slowness) look(closing bool) {
	e, n := &s.evidence, s.all.Total()
	e.N = n
	if lacking := s.lacking(n, s.incumbent.Total()); lacking != "" {
		e.Detail = "latency: " + lacking
		return
	}
	alpha, due := s.begin(n, closing)
	if !due {
		return
	}
	lasting := s.all
	for _, w := range s.worst {
		lasting, _ = lasting.Sub(w.latency)
	}
	seen := s.all.Quantile(s.quantile)
	e.Alpha = alpha
	e.Value = lasting.Quantile(s.quantile).Seconds()
	e.P = mannWhitney(lasting, s.incumbent, s.effect)
	detail := fmt.Sprintf("latency p%g %s of %d requests, incumbent %s of %d",
		100*s.quantile, brief(seen), n, seconds(e.Against), s.incumbent.Total())
	e.conclude(detail, seen > s.limit, seconds)
}
