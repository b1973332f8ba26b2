package handovertest

import (
	"math/bits"
	"time"
)

// Latency summarises how long answers took. Quantiles are upper bounds of
// their bucket, at most a sixteenth too high; Max is exact.
type Latency struct {
	Count int           `json:"count"`
	P50   time.Duration `json:"p50_ns"`
	P90   time.Duration `json:"p90_ns"`
	P99   time.Duration `json:"p99_ns"`
	P999  time.Duration `json:"p999_ns"`
	Max   time.Duration `json:"max_ns"`
}

const (
	subBits = 4 // sixteen buckets for each power of two
	// 32 bits of microseconds are 71 minutes; what is longer goes to the last bucket.
	bucketCount = (32 - subBits + 1) << subBits
)

// histogram counts durations in logarithmic buckets of microseconds. It
// belongs to one client, and is merged under that client's lock.
type histogram struct {
	buckets [bucketCount]uint32
	max     time.Duration
}

func (h *histogram) add(d time.Duration) {
	h.buckets[bucketOf(d)]++
	h.max = max(h.max, d)
}

func (h *histogram) merge(other *histogram) {
	for i, n := range other.buckets {
		h.buckets[i] += n
	}
	h.max = max(h.max, other.max)
}

func (h *histogram) summary() Latency {
	s := Latency{Max: h.max}
	for _, n := range h.buckets {
		s.Count += int(n)
	}
	s.P50, s.P90 = h.quantile(s.Count, 0.50), h.quantile(s.Count, 0.90)
	s.P99, s.P999 = h.quantile(s.Count, 0.99), h.quantile(s.Count, 0.999)
	return s
}

func (h *histogram) quantile(count int, q float64) time.Duration {
	rank, seen := int(q*float64(count)), 0
	for i, n := range h.buckets {
		if seen += int(n); seen > rank {
			return min(upperBound(i), h.max)
		}
	}
	return h.max
}

func bucketOf(d time.Duration) int {
	us := uint64(max(d, 0) / time.Microsecond)
	if us < 1<<subBits {
		return int(us)
	}
	shift := bits.Len64(us) - subBits - 1
	return min((shift+1)<<subBits+int(us>>shift)&(1<<subBits-1), bucketCount-1)
}

func upperBound(bucket int) time.Duration {
	if bucket < 1<<subBits {
		return time.Duration(bucket+1) * time.Microsecond
	}
	shift := bucket>>subBits - 1
	mantissa := bucket&(1<<subBits-1) + 1<<subBits
	return time.Duration(mantissa+1) << shift * time.Microsecond
}
