package measure

import (
	"math"
	"slices"
	"time"
)

// Quantile returns the smallest of the values that at least the share q of them does not exceed; zero of none.
func Quantile[T int | float64 | time.Duration](values []T, q float64) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(max(int(math.Ceil(q*float64(len(sorted))))-1, 0), len(sorted)-1)]
}

// Median is Quantile(values, 0.5).
func Median[T int | float64 | time.Duration](values []T) T { return Quantile(values, 0.5) }

// Per100 is what n in so many upgrades are in a hundred.
func Per100(n, upgrades int) float64 {
	if upgrades == 0 {
		return 0
	}
	return 100 * float64(n) / float64(upgrades)
}
