//go:build linux

package faults

import (
	"testing"
	"time"
)

// TestKeeperReachesAGenerationAgainWhoseLinkHasBroken while both live: the generation serves on all the time, and the next upgrade, which the
// keeper begins, loses nothing. Guard: Keeper.rejoin; without it the keeper never hears of that generation again.
func TestKeeperReachesAGenerationAgainWhoseLinkHasBroken(t *testing.T) {
	t.Parallel()
	s := &soak{t: t, paths: map[string]string{}}
	s.build("")
	broken := step{strike: atFrame, fault: fault{"send", "VOTE", "magic", "CORRUPT"}}
	r := begin(t, choices{topology: kept, probation: 300 * time.Millisecond, steps: []step{broken}}, s.build, nil)
	r.run()
	if r.counts["struck"] != 1 {
		t.Errorf("struck %d times, want once", r.counts["struck"])
	}
}
