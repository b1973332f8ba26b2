package judge_test

import (
	"encoding/json"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/handover-go/handover/host/judge"
)

// b is the nearest whole number to 64000 * 2^(i/4) if (2b-1)^4 < 2^i * 128000^4 < (2b+1)^4: whole numbers, no rounding.
func TestBoundsAreWhatTheyAreStatedToBe(t *testing.T) {
	bounds := judge.Bounds()
	if len(bounds) != 85 || judge.Buckets != 86 || bounds[0] != 64*time.Microsecond || bounds[84] != 134217728*time.Microsecond {
		t.Fatalf("%d bounds from %s to %s for %d buckets", len(bounds), bounds[0], bounds[len(bounds)-1], judge.Buckets)
	}
	fourth := func(v int64) *big.Int { return new(big.Int).Exp(big.NewInt(v), big.NewInt(4), nil) }
	for i, b := range bounds {
		exact := new(big.Int).Lsh(fourth(128000), uint(i))
		if fourth(2*int64(b)-1).Cmp(exact) >= 0 || fourth(2*int64(b)+1).Cmp(exact) <= 0 {
			t.Errorf("bound %d is %d ns: not the nearest to 64 µs * 2^(%d/4)", i, b, i)
		}
	}
}

func TestDurationsFallIntoTheBucketOfTheirBound(t *testing.T) {
	bounds := judge.Bounds()
	for i, b := range bounds {
		var h judge.Histogram
		h.Add(b)
		h.Add(b + 1)
		if c := h.Counts(); c[i] != 1 || c[i+1] != 1 {
			t.Errorf("%s and a nanosecond more are not in buckets %d and %d", b, i, i+1)
		}
	}
	var h judge.Histogram
	h.Add(-1)
	if h.Counts()[0] != 1 {
		t.Error("what took no time is not in the first bucket")
	}
	if h.AddCount(judge.Buckets, 1) == nil || h.AddCount(-1, 1) == nil {
		t.Error("a bucket that is none is counted in")
	}
}

func histogram(t *rapid.T, name string) (h judge.Histogram) {
	for bucket, n := range rapid.MapOf(rapid.IntRange(0, judge.Buckets-1), rapid.Uint64Range(0, 1000)).Draw(t, name) {
		_ = h.AddCount(bucket, n)
	}
	return h
}

func TestHistogramsAddUpAndComeApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := histogram(t, "a"), histogram(t, "b")
		both := a.Merge(b)
		if rest, ok := both.Sub(a); !ok || rest != b || both.Total() != a.Total()+b.Total() {
			t.Fatal("both less one is not the other")
		}
		if _, ok := a.Sub(both); ok && b.Total() > 0 {
			t.Fatal("a count has shrunk, and nobody says so")
		}
		text, err := json.Marshal(both)
		var read judge.Histogram
		if err := json.Unmarshal(text, &read); err != nil || read != both {
			t.Fatalf("read %s: %v", text, err)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestQuantilesRiseAndLieWithinTheirBucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(int64(64*time.Microsecond), int64(2*time.Minute)).Draw(t, "d"))
		h := histogram(t, "h")
		last := time.Duration(0)
		for q := 0.0; q <= 1; q += 0.1 {
			v := h.Quantile(q)
			if v < last {
				t.Fatalf("quantile %g is %s, the one before %s", q, v, last)
			}
			last = v
		}
		var one judge.Histogram
		one.Add(d)
		if v := one.Quantile(1); v < d || float64(v) > 1.19*float64(d)+1 {
			t.Fatalf("a single %s is seen as %s", d, v)
		}
	})
}
