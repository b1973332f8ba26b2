package judge

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"
)

// Buckets is how many buckets a Histogram has: one for each of Bounds, and one for what took longer than the last.
const Buckets = len(bounds) + 1

// bounds are 64 µs * 2^(i/4), to the nearest nanosecond: 64 µs for i = 0, 134.217728 s for i = 84.
var bounds = func() (all [85]time.Duration) {
	for i := range all {
		all[i] = time.Duration(math.Round(64e3 * math.Exp2(float64(i)/4)))
	}
	return all
}()

// Bounds returns the upper bounds of a histogram's buckets, in their order: 64 µs * 2^(i/4), rounded to the nearest nanosecond, for
// i from 0 to 84. Bucket i counts what took longer than bound i-1 and no longer than bound i; the bucket after the
// last bound counts the rest. So a bucket is a factor of 1.19 wide, and a quantile is known to within that.
func Bounds() []time.Duration { return slices.Clone(bounds[:]) }

// Histogram counts durations in fixed buckets (Bounds). It is a value: a copy is another histogram. The zero value is empty.
type Histogram struct{ counts [Buckets]uint64 }

// Add counts one duration.
func (h *Histogram) Add(d time.Duration) {
	i, _ := slices.BinarySearch(bounds[:], d)
	h.counts[i]++
}

// AddCount counts n durations in a bucket. A bucket that is none is an error.
func (h *Histogram) AddCount(bucket int, n uint64) error {
	if bucket < 0 || bucket >= Buckets {
		return fmt.Errorf("count in bucket %d: there are %d", bucket, Buckets)
	}
	h.counts[bucket] += n
	return nil
}

// Counts returns the counts of all buckets, in the order of Bounds.
func (h Histogram) Counts() []uint64 { return slices.Clone(h.counts[:]) }

// Total is how many durations were counted.
func (h Histogram) Total() (n uint64) {
	for _, c := range h.counts {
		n += c
	}
	return n
}

// Merge returns both histograms' counts together.
func (h Histogram) Merge(other Histogram) Histogram {
	for i, c := range other.counts {
		h.counts[i] += c
	}
	return h
}

// Sub returns what was counted since an earlier state of the same histogram. It reports false, and returns nothing, if one of the counts
// has shrunk: then it is not an earlier state.
func (h Histogram) Sub(earlier Histogram) (Histogram, bool) {
	for i, c := range earlier.counts {
		if c > h.counts[i] {
			return Histogram{}, false
		}
		h.counts[i] -= c
	}
	return h, true
}

// Quantile returns the duration below which a share q (0 to 1) of all lies, interpolated within its bucket; 0 if nothing was
// counted. What took longer than the last bound is taken for that.
func (h Histogram) Quantile(q float64) time.Duration {
	rank := q * float64(h.Total())
	below := 0.0
	for i, c := range h.counts {
		if c == 0 || below+float64(c) < rank {
			below += float64(c)
			continue
		}
		if i == len(bounds) {
			break
		}
		var lower time.Duration
		if i > 0 {
			lower = bounds[i-1]
		}
		return lower + time.Duration(float64(bounds[i]-lower)*(rank-below)/float64(c))
	}
	if below == 0 && h.counts[len(bounds)] == 0 {
		return 0
	}
	return bounds[len(bounds)-1]
}

// MarshalJSON writes the counts as an array, without the zeros at its end.
func (h Histogram) MarshalJSON() ([]byte, error) {
	n := Buckets
	for n > 0 && h.counts[n-1] == 0 {
		n--
	}
	return json.Marshal(h.counts[:n])
}

// UnmarshalJSON reads what MarshalJSON wrote. More counts than there are buckets are an error.
func (h *Histogram) UnmarshalJSON(text []byte) error {
	var counts []uint64
	if err := json.Unmarshal(text, &counts); err != nil {
		return fmt.Errorf("read histogram: %w", err)
	}
	if len(counts) > Buckets {
		return fmt.Errorf("read histogram: %d counts for %d buckets", len(counts), Buckets)
	}
	*h = Histogram{}
	copy(h.counts[:], counts)
	return nil
}
