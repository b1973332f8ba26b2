package keeper

import (
	"os"
	"slices"
	"time"

	"github.com/handover-go/handover/internal/wire"
)

// status tells how the service is: what its incumbent says, and what the keeper knows beside.
func (k *Keeper) status(asked wire.Status, answer func(*wire.Reply)) {
	keeping := k.keeping()
	m, err := mannerOf(asked.Start)
	if err != nil {
		answer(&wire.Reply{Error: err.Error(), Code: wire.CodeVerification})
		return
	}
	if m != nil {
		keeping.Differs = k.differs(k.shelf.running, m)
	}
	if k.incumbent == nil || k.incumbent.Link == nil {
		answer(&wire.Reply{Status: k.ownStatus(keeping)})
		return
	}
	k.incumbent.ask(k, &wire.Status{}, func(r *wire.Reply) {
		if r.Status != nil {
			r.Status.Keeper = keeping
		}
		answer(&wire.Reply{Status: r.Status, Error: r.Error, Code: r.Code})
	})
}

// keeping is what the keeper knows.
func (k *Keeper) keeping() *wire.Keeping {
	keeping := &wire.Keeping{
		PID: os.Getpid(), Build: k.build, State: k.state.String(), Running: k.shelf.running.Digest, Previous: k.shelf.previous.Digest,
		Restarts: k.restarts, Last: k.last,
	}
	for _, g := range k.generations {
		keeping.Generations = append(keeping.Generations, wire.Living{
			Generation: g.number, PID: g.PID(), State: k.standing(g), Digest: g.build.Digest, Dir: k.directory(g.build.dir), StartedMs: millis(g.started),
			Output: g.output(), Label: g.build.label,
		})
	}
	slices.SortFunc(keeping.Generations, func(a, b wire.Living) int { return a.Generation - b.Generation })
	if e := k.ended; e.Outcome != "" {
		keeping.Attempt = &wire.Attempt{Number: e.Attempt, Outcome: e.Outcome, Generation: e.Generation, Error: e.Error}
	}
	return keeping
}

// standing is where a generation stands: as it says itself, or, of a program that says nothing, as the keeper has it.
func (k *Keeper) standing(g *generation) string {
	tried := k.attempt != nil && k.attempt.successor == g
	switch {
	case g.Link != nil && g.standing.State != "":
		return g.standing.State
	case g.Link == nil && tried && k.attempt.trial != nil && !k.attempt.trial.ready.IsZero():
		return onTrial
	case g == k.incumbent:
		return serves
	case g.Link == nil && !tried:
		return drains
	default:
		return "preparing"
	}
}

// millis is a time in milliseconds since 1970; 0 if there is none.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// ownStatus is how the service is as the keeper sees it.
func (k *Keeper) ownStatus(keeping *wire.Keeping) *wire.ServiceStatus {
	s := &wire.ServiceStatus{
		Service: k.config.Name, State: k.state.String(), Attempt: k.attempts, Listeners: specs(k.spare),
		UptimeMs: time.Since(k.started).Milliseconds(), Keeper: keeping,
	}
	for _, g := range k.generations {
		if g != k.incumbent {
			s.Draining = append(s.Draining, wire.Drainer{Generation: g.number, PID: g.PID()})
		}
	}
	if g := k.incumbent; g != nil {
		s.Generation, s.PID, s.Build, s.Listeners = g.number, g.PID(), g.Build, specs(g.held)
	}
	slices.SortFunc(s.Draining, func(a, b wire.Drainer) int { return a.Generation - b.Generation })
	return s
}
