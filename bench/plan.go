package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/handover-go/handover/bench/scenario"
	"github.com/handover-go/handover/bench/subject"
)

// plan is how much is measured.
type plan struct {
	rounds      int
	upgrades    int           // under load, of a subject in a round
	probed      int           // upgrades under the probe alone, of a subject in a round
	driven      int           // slices of throughput, of a subject in a round
	killed      int           // kills of what serves, of a subject in a round
	probation   int           // kills of a successor in probation, in a round
	signalled   int           // attempts in which it is asked for another, in a round
	requests    int           // rounds of the served request in one process
	span        time.Duration // of each
	connections int           // idle ones to migrate
}

var (
	full = plan{
		rounds: 3, upgrades: 10, probed: 5, driven: 8, killed: 4, probation: 20, signalled: 2,
		requests: 9, span: time.Second, connections: 4000,
	}
	short = plan{
		rounds: 1, upgrades: 2, probed: 2, driven: 2, killed: 1, probation: 3, signalled: 1,
		requests: 2, span: 200 * time.Millisecond, connections: 200,
	}
)

// benchmark is all that was measured.
type benchmark struct {
	plan      plan
	began     time.Time
	took      time.Duration
	results   []*scenario.Result
	missing   []string // why a subject is not there
	probation scenario.Probation
	signals   scenario.Signals
	request   scenario.Request
	migration scenario.Migration
}

// perform measures all subjects in rounds, in each in another order, so that what drifts hits all alike.
func perform(ctx context.Context, p plan, subjects []*subject.Subject) (bm *benchmark, err error) {
	bm = &benchmark{plan: p, began: time.Now()}
	for _, s := range subjects {
		switch err := s.Check(ctx); {
		case errors.Is(err, subject.ErrMissing):
			bm.missing = append(bm.missing, err.Error())
		case err != nil:
			return nil, err
		default:
			bm.results = append(bm.results, scenario.NewResult(s))
		}
	}
	dir, err := os.MkdirTemp("", "handover-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	fmt.Fprintln(os.Stderr, "building the services")
	builds, err := subject.Build(ctx, dir)
	if err != nil {
		return nil, err
	}
	for round := range p.rounds {
		order := rand.Perm(len(bm.results))
		for turn, i := range order {
			r := bm.results[i]
			fmt.Fprintf(os.Stderr, "round %d of %d, %d of %d: %s\n", round+1, p.rounds, turn+1, len(order), r.Subject.Name)
			bm.measure(ctx, builds, r, round == 0)
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
		if err := bm.measureOurs(ctx, builds, round == 0); err != nil {
			return nil, err
		}
	}
	bm.took = time.Since(bm.began)
	return bm, nil
}

// measure does everything to one subject. What fails is told in the table: the others go on.
func (bm *benchmark) measure(ctx context.Context, b *subject.Builds, r *scenario.Result, first bool) {
	steps := []func() error{
		func() error { return scenario.Upgraded(ctx, b, r, bm.plan.upgrades) },
		func() error { return scenario.Probed(ctx, b, r, bm.plan.probed) },
	}
	if !r.Subject.Twin {
		steps = append(steps, func() error { return scenario.Driven(ctx, b, r, bm.plan.driven) })
	}
	if !r.Subject.Twin && r.Never == 0 {
		steps = append(steps, func() error { return scenario.Killed(ctx, b, r, bm.plan.killed) })
	}
	if first {
		steps = append(steps, func() error { return scenario.GivenBad(ctx, b, r) })
	}
	for _, step := range steps {
		if err := step(); err != nil && ctx.Err() == nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", r.Subject.Name, err)
			r.Trouble = append(r.Trouble, err.Error())
		}
	}
}

// measureOurs measures what only handover has. It is measured if the library is among the subjects.
func (bm *benchmark) measureOurs(ctx context.Context, b *subject.Builds, first bool) (err error) {
	ours := false
	for _, r := range bm.results {
		ours = ours || r.Subject.Name == subject.Alone
	}
	if !ours {
		return nil
	}
	if err := scenario.KilledInProbation(ctx, b, &bm.probation, bm.plan.probation); err != nil {
		return err
	}
	if err := scenario.Signalled(ctx, b, &bm.signals, bm.plan.signalled); err != nil || !first {
		return err
	}
	if bm.request, err = scenario.Requested(ctx, bm.plan.requests, bm.plan.span); err != nil {
		return err
	}
	bm.migration, err = scenario.Migrated(ctx, b, bm.plan.connections)
	return err
}
