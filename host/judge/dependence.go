package judge

import "math"

// fewest is the number of blocks below which a variance between them is not worth estimating.
const fewest = 8

// designEffect says how many requests weigh as much as one independent one, at least 1: the variance of an interval's mean, over what
// it would be if requests were independent. Requests that fail or are slow together raise it. Intervals are joined two by two, again
// and again, so that what lasts longer than one of them is seen too, and the largest effect counts. Without
// intervals, or where nothing varies, it is 1.
//
// score is the number of requests of an interval and how far their mean is from that of all; variance is that of one request.
//
// J. N. K. Rao, A. J. Scott, A Simple Method for the Analysis of Clustered Binary Data, Biometrics 48, 1992; for the joining,
// batch means: R. W. Conway, Some Tactical Problems in Digital Simulation, Management Science 10, 1963.
func designEffect(intervals []Traffic, variance float64, score func(Traffic) (n, distance float64)) float64 {
	effect := 1.0
	if !(variance > 0) {
		return effect
	}
	for ; len(intervals) >= fewest; intervals = joined(intervals) {
		between := 0.0
		for _, t := range intervals {
			n, distance := score(t)
			between += n * distance * distance
		}
		free := float64(len(intervals) - 1)
		if x := between / variance; x > free+2*math.Sqrt(2*free) {
			effect = max(effect, x/free)
		}
	}
	return effect
}

// joined has two intervals in one; an odd one at the end is left out.
func joined(intervals []Traffic) []Traffic {
	pairs := make([]Traffic, len(intervals)/2)
	for i := range pairs {
		pairs[i] = intervals[2*i].Merge(intervals[2*i+1])
	}
	return pairs
}

// ranks are the mid-ranks of the buckets of a histogram, from 0 to 1, less the half that is their mean.
type ranks struct {
	of     [Buckets]float64
	counts Histogram
}

func newRanks(h Histogram) ranks {
	r := ranks{counts: h}
	all, below := float64(h.Total()), 0.0
	if all == 0 {
		return r
	}
	for i, c := range h.counts {
		r.of[i] = (below+float64(c)/2)/all - 0.5
		below += float64(c)
	}
	return r
}

// excess is the sum of the ranks of another histogram's durations: above 0 if they are longer.
func (r *ranks) excess(h Histogram) (sum float64) {
	for i, c := range h.counts {
		sum += float64(c) * r.of[i]
	}
	return sum
}

// variance is that of the rank of one duration.
func (r *ranks) variance() (v float64) {
	for i, c := range r.counts.counts {
		v += float64(c) * r.of[i] * r.of[i]
	}
	return v / max(float64(r.counts.Total()), 1)
}
