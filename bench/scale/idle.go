package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// What the clients do that work while idle connections move.
const (
	activeClients = 16
	activeRate    = 50 // requests a second, each
	steadySpan    = 3 * time.Second
)

// idleConnections has connections that say nothing follow, ever more of them, while others work: with rests, as by default, and at full
// speed.
func idleConnections(ctx context.Context, s settings) error {
	fmt.Printf("\n## Idle connections, while %d clients ask %d times a second each\n\n", activeClients, activeRate)
	fmt.Println("| idle | `MigrationShare` | moved in, ms | a second | switch, ms | p50 steady → moving, ms | p99 steady → moving, ms | ratio of p99 |\n|---|---|---|---|---|---|---|---|")
	paced, full := &moves{share: "0.25"}, &moves{share: "1"}
	var plain series
	for n := max(1, s.connections/16); n <= s.connections; n *= 2 {
		for _, m := range []*moves{paced, full} {
			if err := m.measure(ctx, n, s.rounds); err != nil {
				return fmt.Errorf("%d connections, a share of %s: %w", n, m.share, err)
			}
		}
		bytes, err := plainMemory(ctx, n)
		if err != nil {
			return err
		}
		plain.add(float64(n), bytes)
	}
	fmt.Printf("\nEvery idle connection was asked after each of %d upgrades, and answered. One more costs %.0f µs of moving with rests, %.0f µs at full speed: "+
		"a million, %.0f s and %.0f s. It takes %.1f KiB of the next generation's memory, and %.1f of a plain net/http's.\n",
		s.rounds, paced.took.slope()*1e3, full.took.slope()*1e3, paced.took.slope()*1e3, full.took.slope()*1e3, full.memory.slope()*1024, plain.slope()*1024)
	return plots(s.out, "scale-idle",
		chart{"Time to move", "idle connections", "ms", []named{{"with rests", paced.took}, {"at full speed", full.took}}},
		chart{"p99 of those who work", "idle connections", "ms", []named{{"others move, with rests", paced.moving}, {"others move, at full speed", full.moving}, {"steady", paced.steady}}},
		chart{"Switch", "idle connections", "ms", []named{{"with rests", paced.freeze}, {"at full speed", full.freeze}}},
	)
}

// moves are what upgrades cost as the number of idle connections grows, for a share of the time.
type moves struct {
	share                                string
	took, freeze, steady, moving, memory series
}

func (m *moves) measure(ctx context.Context, n, rounds int) error {
	f, err := start(ctx, "HANDOVER_MIGRATION_SHARE="+m.share)
	if err != nil {
		return err
	}
	h, err := startHolders(f.address, n)
	if err != nil {
		return errors.Join(err, h.leave())
	}
	active, err := clients(activeClients, func() *client { return &client{address: f.address, stays: true} })
	if err != nil {
		return errors.Join(err, h.leave())
	}
	p := startPulse(ctx, active, activeRate)
	var took, freeze series
	var calm, busy []time.Duration
	for range rounds {
		from := time.Now()
		over := time.NewTimer(steadySpan)
		<-over.C
		calm = append(calm, p.within(from, time.Now())...)
		u, err := f.upgrade(ctx)
		if err != nil {
			return err
		}
		gone, err := f.await(ctx, `msg="draining generation has finished"`)
		if err != nil {
			return err
		}
		busy = append(busy, p.within(u.final, gone.at)...)
		took.add(float64(n), millis(gone.at.Sub(u.final)))
		freeze.add(float64(n), millis(u.freeze))
		if err := h.ask(); err != nil {
			return err
		}
	}
	bytes, err := memory(f.pid)
	if err := errors.Join(err, p.stop(), h.leave(), f.end(ctx)); err != nil {
		return err
	}
	ms, a, b := took.quantile(0.5), millis(quantile(calm, 0.99)), millis(quantile(busy, 0.99))
	fmt.Printf("| %d | %s | %.0f (%.0f to %.0f) | %.0f | %.2f | %.2f → %.2f | %.2f → %.2f | %.1f |\n", n, m.share, ms, took.quantile(0), took.quantile(1),
		float64(n)/ms*1e3, freeze.quantile(0.5), millis(quantile(calm, 0.5)), millis(quantile(busy, 0.5)), a, b, b/a)
	m.took.add(float64(n), ms)
	m.freeze.add(float64(n), freeze.quantile(0.5))
	m.steady.add(float64(n), a)
	m.moving.add(float64(n), b)
	m.memory.add(float64(n), float64(bytes)/(1<<20))
	return nil
}

// plainMemory returns how many MiB a service that knows nothing of handovers takes with as many idle connections.
func plainMemory(ctx context.Context, n int) (float64, error) {
	f, err := start(ctx, plainVariable+"=1")
	if err != nil {
		return 0, err
	}
	h, err := startHolders(f.address, n)
	if err != nil {
		return 0, errors.Join(err, h.leave())
	}
	bytes, err := memory(f.pid)
	return float64(bytes) / (1 << 20), errors.Join(err, h.leave(), f.end(ctx))
}
