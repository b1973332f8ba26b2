package judge

import "math"

// fisher is the p-value of Fisher's exact test, one-sided: how probable it is that of the errors of both builds so many or more fall
// on the candidate's requests, if they fall on each request alike. The number is hypergeometric.
//
// R. A. Fisher, Statistical Methods for Research Workers, 5th ed., 1934, section 21.02.
func fisher(errors, requests, otherErrors, otherRequests uint64) float64 {
	k, n := float64(errors), float64(requests)
	all, bad := n+float64(otherRequests), float64(errors+otherErrors)
	least, most := max(0, bad-float64(otherRequests)), min(bad, n)

	// at is the probability of x errors, up(x) and down(x) the factors to that of x+1 and of x-1. Each tail is added up away from the mode,
	// where terms only shrink: so neither a tail that is nearly everything nor one that is nearly nothing is lost in rounding.
	at := func(x float64) float64 {
		return math.Exp(choose(bad, x) + choose(all-bad, n-x) - choose(all, n))
	}
	up := func(x float64) float64 { return (bad - x) * (n - x) / ((x + 1) * (all - bad - n + x + 1)) }
	down := func(x float64) float64 { return x * (all - bad - n + x) / ((bad - x + 1) * (n - x + 1)) }

	if k > n*bad/all {
		tail := 0.0
		for x, p := k, at(k); x <= most && p > tail*1e-16; x++ {
			tail += p
			p *= up(x)
		}
		return min(tail, 1)
	}
	rest := 0.0
	if k > least {
		for x, p := k-1, at(k-1); x >= least && p > rest*1e-16; x-- {
			rest += p
			p *= down(x)
		}
	}
	return max(1-rest, 0)
}

// choose is the logarithm of the number of ways to choose k of n.
func choose(n, k float64) float64 {
	lgamma := func(x float64) float64 { v, _ := math.Lgamma(x + 1); return v }
	return lgamma(n) - lgamma(k) - lgamma(n-k)
}

// mannWhitney is the p-value of the rank test, one-sided: how probable it is that the candidate's durations rank so high or higher
// among all, if both builds' are alike. Durations in the same bucket are tied. The rank sum is taken as normal, with its variance
// corrected for ties and half a rank for continuity: good from some twenty of each on.
//
// H. B. Mann, D. R. Whitney, On a Test of Whether one of Two Random Variables is Stochastically Larger than the Other, Annals of
// Mathematical Statistics 18, 1947. The correction: E. L. Lehmann, Nonparametrics, 1975, section 1.4.
func mannWhitney(candidate, incumbent Histogram, effect float64) float64 {
	n, m := float64(candidate.Total()), float64(incumbent.Total())
	all := n + m
	var u, below, ties float64
	for i := range candidate.counts {
		c, o := float64(candidate.counts[i]), float64(incumbent.counts[i])
		u += c * (below + o/2)
		below += o
		t := c + o
		ties += t * (t*t - 1)
	}
	variance := effect * n * m / 12 * (all + 1 - ties/(all*(all-1)))
	if !(variance > 0) {
		return 1 // none, or all in one bucket
	}
	z := (u - n*m/2 - 0.5) / math.Sqrt(variance)
	return math.Erfc(z/math.Sqrt2) / 2
}
