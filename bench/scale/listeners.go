package main

import (
	"context"
	"fmt"
)

// manyListeners upgrades services with more and more listeners.
func manyListeners(ctx context.Context, s settings) error {
	fmt.Print("\n## Listeners\n\n| listeners | signal to ready, ms | switch, ms |\n|---|---|---|\n")
	var readies, freezes series
	for _, n := range []int{1, 10, 25, 50, 100} {
		f, err := start(ctx, fmt.Sprintf("%s=%d", listenersVariable, n))
		if err != nil {
			return err
		}
		var ready, freeze series
		for range 4 * s.rounds {
			u, err := f.upgrade(ctx)
			if err != nil {
				return err
			}
			ready.add(float64(n), millis(u.ready))
			freeze.add(float64(n), millis(u.freeze))
		}
		if err := f.end(ctx); err != nil {
			return err
		}
		fmt.Printf("| %d | %.1f | %.2f |\n", n, ready.quantile(0.5), freeze.quantile(0.5))
		readies.add(float64(n), ready.quantile(0.5))
		freezes.add(float64(n), freeze.quantile(0.5))
	}
	fmt.Printf("\nMedians of %d upgrades. One more listener costs %.0f µs until the successor is ready, and %.1f µs of the switch.\n",
		4*s.rounds, readies.slope()*1e3, freezes.slope()*1e3)
	return plots(s.out, "scale-listeners",
		chart{"Signal to ready", "listeners", "ms", []named{{"", readies}}},
		chart{"Switch", "listeners", "ms", []named{{"", freezes}}},
	)
}
