package judge

import (
	"math"
	"math/big"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestFisherAgreesWithEveryWayCounted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		requests := rapid.Uint64Range(1, 60).Draw(t, "requests")
		otherRequests := rapid.Uint64Range(1, 60).Draw(t, "otherRequests")
		errors := rapid.Uint64Range(0, requests).Draw(t, "errors")
		otherErrors := rapid.Uint64Range(0, otherRequests).Draw(t, "otherErrors")

		n, m, bad := int64(requests), int64(otherRequests), int64(errors+otherErrors)
		ways := new(big.Int)
		for x := int64(errors); x <= min(bad, n); x++ {
			if bad-x <= m {
				ways.Add(ways, new(big.Int).Mul(new(big.Int).Binomial(n, x), new(big.Int).Binomial(m, bad-x)))
			}
		}
		want, _ := new(big.Rat).SetFrac(ways, new(big.Int).Binomial(n+m, bad)).Float64()
		if got := fisher(errors, requests, otherErrors, otherRequests); math.Abs(got-want) > 1e-9*want+1e-13 {
			t.Fatalf("fisher(%d of %d, %d of %d) = %g, counted %g", errors, requests, otherErrors, otherRequests, got, want)
		}
	})
}

// The lady tasting tea: Fisher's own example.
func TestFisherOfTheLadyTastingTea(t *testing.T) {
	if got := fisher(3, 4, 1, 4); math.Abs(got-17.0/70) > 1e-12 {
		t.Errorf("three cups of four: %g, Fisher has 17/70", got)
	}
	if got := fisher(4, 4, 0, 4); math.Abs(got-1.0/70) > 1e-12 {
		t.Errorf("four cups of four: %g, Fisher has 1/70", got)
	}
}

func TestFisherOfMillionsIsFiniteAndQuick(t *testing.T) {
	same := fisher(1_000_000, 500_000_000, 1_000_000, 500_000_000)
	if same < 0.49 || same > 0.51 {
		t.Errorf("equal shares of half a billion: p %g", same)
	}
	if p := fisher(1_010_000, 500_000_000, 1_000_000, 500_000_000); p > 1e-10 || p < 0 {
		t.Errorf("one hundredth more of a million errors: p %g", p)
	}
}

// The rank test by its definition: every duration by itself, with mid-ranks, and the variance of a sum of ranks drawn without putting
// back.
func TestRankTestAgreesWithItsDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) (h Histogram, each []int) {
			each = rapid.SliceOfN(rapid.IntRange(0, 9), 1, 40).Draw(t, name)
			for _, b := range each {
				_ = h.AddCount(b, 1)
			}
			return h, each
		}
		candidate, c := draw("candidate")
		incumbent, o := draw("incumbent")

		all := slices.Sorted(slices.Values(slices.Concat(c, o)))
		rank := func(v int) float64 {
			from, _ := slices.BinarySearch(all, v)
			to, _ := slices.BinarySearch(all, v+1)
			return float64(from+1+to) / 2
		}
		sum, squares := 0.0, 0.0
		mean := float64(len(all)+1) / 2
		for _, v := range c {
			sum += rank(v)
		}
		for _, v := range all {
			squares += (rank(v) - mean) * (rank(v) - mean)
		}
		n, m, total := float64(len(c)), float64(len(o)), float64(len(all))
		want := 1.0
		if sd := math.Sqrt(n * m * squares / (total * (total - 1))); sd > 0 {
			want = math.Erfc((sum-n*mean-0.5)/sd/math.Sqrt2) / 2
		}
		if got := mannWhitney(candidate, incumbent, 1); math.Abs(got-want) > 1e-9 {
			t.Fatalf("p %g, by definition %g", got, want)
		}
	})
}

func TestBudgetIsNeverOverspent(t *testing.T) {
	l := looks{budget: 0.01, needed: 1}
	spent := 0.0
	for n := uint64(1); n < 1<<40; n += n/4 + 1 {
		alpha, _ := l.begin(n, false)
		spent += alpha
	}
	if l.taken < 100 || spent > 0.01 {
		t.Errorf("%d looks spend %g of 0.01", l.taken, spent)
	}
}

func TestLookNeedsAQuarterMoreRequests(t *testing.T) {
	l := looks{budget: 0.01, needed: 50}
	for _, c := range []struct {
		n       uint64
		closing bool
		due     bool
	}{{49, true, false}, {50, false, true}, {62, false, false}, {63, false, true}, {64, false, false}, {64, true, true}, {64, true, false}} {
		if _, due := l.begin(c.n, c.closing); due != c.due {
			t.Errorf("at %d requests, closing %t: due %t, want %t", c.n, c.closing, due, c.due)
		}
	}
}

func TestDesignEffectOfRequestsThatFailTogether(t *testing.T) {
	var apart, together []Traffic
	for i := range 120 {
		apart = append(apart, Traffic{Requests: 100, Errors: uint64(i % 3)})
		together = append(together, Traffic{Requests: 100, Errors: uint64(i / 60 * 2)})
	}
	effect := func(intervals []Traffic) float64 {
		return designEffect(intervals, 0.01*0.99, func(t Traffic) (float64, float64) {
			return float64(t.Requests), t.share() - 0.01
		})
	}
	if e := effect(apart); e != 1 {
		t.Errorf("errors that come evenly have an effect of %g", e)
	}
	if e := effect(together); e < 8 {
		t.Errorf("errors of the second half alone have an effect of %g", e)
	}
	if e := effect(together[:7]); e != 1 {
		t.Errorf("seven intervals have an effect of %g: that is none that can be known", e)
	}
}
