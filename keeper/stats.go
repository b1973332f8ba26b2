package keeper

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/handover-go/handover/internal/wire"
)

// statsTimeout bounds the wait for the figures of a generation: one that hangs, or does not know the question, is left out.
const statsTimeout = 2 * time.Second

// stats asks every generation for its figures, and answers with those that have come. From now on they count requests.
func (k *Keeper) stats(answer func(*wire.Reply)) {
	k.counting = true
	reply := &wire.Reply{Stats: []wire.Figures{}}
	ctx, cancel := context.WithTimeout(context.Background(), statsTimeout)
	awaited := make(map[*generation]uint32) // the number of its question
	came := func(g *generation, r *wire.Reply) {
		if ctx.Err() == nil {
			reply.Stats = append(reply.Stats, r.Stats...)
		}
		if delete(awaited, g); len(awaited) == 0 {
			cancel()
		}
	}
	for _, g := range k.generations {
		if g.Link != nil && g.standing.State != "" { // before, it is no more than a process
			awaited[g] = 0
		}
	}
	for _, g := range slices.Collect(maps.Keys(awaited)) {
		g.ask(k, &wire.Stats{}, func(r *wire.Reply) { came(g, r) })
		if _, ok := awaited[g]; ok {
			awaited[g] = k.requests
		}
	}
	if len(awaited) == 0 {
		cancel()
	}
	k.background(ctx, func(ctx context.Context) {
		select {
		case <-ctx.Done():
		case <-k.done:
			cancel()
		}
		k.post(func() {
			for g, question := range awaited {
				delete(g.answers, question)
			}
			slices.SortFunc(reply.Stats, func(a, b wire.Figures) int { return a.Generation - b.Generation })
			answer(reply)
		})
	})
}
