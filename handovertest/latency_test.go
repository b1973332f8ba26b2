package handovertest

import (
	"testing"
	"time"
)

func TestQuantilesAreAtMostASixteenthTooHigh(t *testing.T) {
	var h histogram
	for i := range 10_000 {
		h.add(time.Duration(i+1) * 10 * time.Microsecond)
	}
	s := h.summary()
	for _, q := range []struct {
		name      string
		got, want time.Duration
	}{
		{"p50", s.P50, 50 * time.Millisecond}, {"p90", s.P90, 90 * time.Millisecond},
		{"p99", s.P99, 99 * time.Millisecond}, {"p999", s.P999, 99900 * time.Microsecond},
	} {
		if q.got < q.want || q.got > q.want+q.want/16+time.Microsecond {
			t.Errorf("%s is %v, want %v", q.name, q.got, q.want)
		}
	}
	if s.Max != 100*time.Millisecond || s.Count != 10_000 {
		t.Errorf("max %v of %d", s.Max, s.Count)
	}
}

func TestEveryDurationHasABucketBelowItsUpperBound(t *testing.T) {
	for d := time.Nanosecond; d < time.Hour; d += d/7 + 1 {
		b := bucketOf(d)
		if d >= upperBound(b) || b > 0 && d < upperBound(b-1) {
			t.Fatalf("%v is in bucket %d, from %v to %v", d, b, upperBound(b-1), upperBound(b))
		}
	}
	if b := bucketOf(100 * time.Hour); b != bucketCount-1 {
		t.Errorf("what is too long is in bucket %d", b)
	}
}
