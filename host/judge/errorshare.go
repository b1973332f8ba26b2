package judge

import (
	"fmt"
	"math"
	"slices"
	"sort"
)

// errorShare compares the share of requests that fail with the incumbent's.
type errorShare struct {
	looks
	incumbent Traffic
	effect    float64  // design effect of the incumbent's intervals
	limit     float64  // the largest share that is allowed
	all       Traffic  // of the candidate
	worst     []uint64 // errors of the intervals that had most, which may have been a burst
	evidence  Evidence
}

func newErrorShare(p Policy, b Baseline) errorShare {
	s := errorShare{looks: newLooks(p), incumbent: b.Traffic.sane(), worst: make([]uint64, p.Failures-1)}
	against := s.incumbent.share()
	s.effect = designEffect(b.Intervals, against*(1-against), func(t Traffic) (float64, float64) {
		return float64(t.Requests), t.sane().share() - against
	})
	s.limit = max(against*p.Errors.Ratio, against+p.Errors.Excess)
	s.evidence = Evidence{Test: "errors", Outcome: Inconclusive, Against: against, Limit: s.limit}
	s.evidence.Detail = "errors: " + s.lacking(0, s.incumbent.Requests)
	return s
}

// hear takes in what an interval has brought.
func (s *errorShare) hear(interval Traffic) {
	s.all = s.all.Merge(interval)
	if i, _ := slices.BinarySearchFunc(s.worst, interval.Errors, descending[uint64]); i < len(s.worst) {
		s.worst = slices.Insert(slices.Clone(s.worst), i, interval.Errors)[:len(s.worst)]
	}
}

// look tests all that was answered so far, if a look is due.
func (s *errorShare) look(closing bool) {
	e, n := &s.evidence, s.all.Requests
	e.N = n
	if lacking := s.lacking(n, s.incumbent.Requests); lacking != "" {
		e.Detail = "errors: " + lacking
		return
	}
	alpha, due := s.begin(n, closing)
	if !due {
		return
	}
	lasting := s.all.sane()
	seen := lasting.share()
	for _, errors := range s.worst {
		lasting.Errors -= min(errors, lasting.Errors)
	}
	e.Alpha = alpha
	e.Value = lasting.share()
	e.P = s.p(lasting.Errors)
	least := sort.Search(int(n), func(errors int) bool {
		return float64(errors)/float64(n) > s.limit && s.p(uint64(errors)) <= alpha
	})
	e.Detectable = float64(least) / float64(n)
	detail := fmt.Sprintf("errors %s of %d requests, incumbent %s of %d, from %s on it fails",
		percent(seen), n, percent(e.Against), s.incumbent.Requests, percent(e.Detectable))
	e.conclude(detail, seen > s.limit, percent)
}

// p is the p-value of so many errors of the candidate.
func (s *errorShare) p(errors uint64) float64 {
	return fisher(
		uint64(float64(errors)/s.effect), scaled(s.all.Requests, s.effect),
		scaled(s.incumbent.Errors, s.effect), scaled(s.incumbent.Requests, s.effect))
}

// scaled is a number of requests in independent ones.
func scaled(n uint64, effect float64) uint64 { return uint64(math.Ceil(float64(n) / effect)) }
