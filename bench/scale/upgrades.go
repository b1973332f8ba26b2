package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/handover-go/handover/handovertest"
)

// manyUpgrades replaces a service again and again under load, and compares the last generation with the tenth.
func manyUpgrades(ctx context.Context, s settings) error {
	f, err := start(ctx)
	if err != nil {
		return err
	}
	load, err := handovertest.Drive(ctx, handovertest.Load{Address: f.address})
	if err != nil {
		return err
	}
	var freezes, readies, memories, descriptors series
	fmt.Printf("\n## %d upgrades in a row, 28 strict clients\n\n", s.upgrades)
	fmt.Println("| generation | anonymous memory, MiB | descriptors | signal to ready, ms | switch, ms |\n|---|---|---|---|---|")
	began := time.Now()
	every := max(1, s.upgrades/100)
	for i := 1; i <= s.upgrades; i++ {
		u, err := f.upgrade(ctx)
		if err != nil {
			return fmt.Errorf("upgrade %d: %w", i, err)
		}
		freezes.add(float64(i), millis(u.freeze))
		readies.add(float64(i), millis(u.ready))
		if i != 10 && i%every != 0 {
			continue
		}
		// Looked at as the generation before it has gone: both would be counted else.
		if err := load.WaitAnswers(ctx, 100); err != nil {
			return err
		}
		bytes, err := memory(f.pid)
		if err != nil {
			return err
		}
		fds, err := handovertest.OpenFDs(f.pid)
		if err != nil {
			return err
		}
		memories.add(float64(i), float64(bytes)/(1<<20))
		descriptors.add(float64(i), float64(fds))
		if i == 10 || i%(every*20) == 0 {
			fmt.Printf("| %d | %.1f | %d | %.1f | %.2f |\n", i+1, float64(bytes)/(1<<20), fds, millis(u.ready), millis(u.freeze))
		}
	}
	took := time.Since(began)
	r := load.Stop()
	fmt.Printf("\n%d requests on %d connections in %s: %d failed, %d closed, %d refused, %d wrong, %d repeated; longest gap between two answers %s. "+
		"Switch: median %.2f ms, maximum %.2f ms.\n",
		r.Requests, r.Connections, took.Round(time.Second), r.Failed, r.Closed, r.Refused, r.Wrong, r.Repeated,
		r.LongestGap.Round(100*time.Microsecond), freezes.quantile(0.5), freezes.quantile(1))
	if r.Lost() > 0 {
		fmt.Println(r)
	}
	if err := f.end(ctx); err != nil {
		return err
	}
	if r.Lost() > 0 {
		return fmt.Errorf("%d lost", r.Lost())
	}
	return plots(s.out, "scale-upgrades",
		chart{"Switch", "upgrade", "ms, median of 20", []named{{"switch", freezes.smooth(20)}}},
		chart{"Memory of a generation", "upgrade", "MiB, anonymous", []named{{"memory", memories}}},
		chart{"Descriptors of a generation", "upgrade", "open", []named{{"descriptors", descriptors}}},
	)
}

func millis(d time.Duration) float64 { return math.Round(float64(d.Nanoseconds())/1e3) / 1e3 }
