package judge_test

import (
	"fmt"
	"time"

	"github.com/handover-go/handover/host/judge"
)

func Example() {
	policy := judge.Policy{
		Version: "v2",
		RSS:     judge.Ceiling{Ratio: 1.5},
		Errors:  judge.Errors{Off: true},
		Latency: judge.Latency{Off: true},
	}
	incumbent := judge.Baseline{Resources: judge.Resources{Known: judge.KnownRSS, RSS: 100 << 20}}

	bake := judge.New(policy, incumbent)
	began := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for i := range 4 {
		var v judge.Verdict
		bake, v = bake.With(judge.Observation{
			At:        began.Add(time.Duration(i) * 5 * time.Second),
			Version:   "v2",
			Checks:    []judge.Check{{Name: "ready", OK: true}},
			Resources: judge.Resources{Known: judge.KnownRSS, RSS: uint64(120+20*i) << 20},
		})
		fmt.Println(v.Decision)
	}
	v := bake.Close()
	fmt.Printf("%s: %s\n", v.Decision, v.Reason)
	// Output:
	// undecided
	// undecided
	// undecided
	// undecided
	// inconclusive: rss 180.0 MiB, allowed are 150.0 MiB (incumbent 100.0 MiB): over it, 2 in a row
}
