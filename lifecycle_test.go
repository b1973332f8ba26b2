package handover

import (
	"slices"
	"testing"
)

func rows() []transition { return append(slices.Clone(successorLife), incumbentLife...) }

func TestEveryStateCanBeReachedAndLeft(t *testing.T) {
	reached := map[state]bool{joining: true, starting: true}
	for range states {
		for _, r := range rows() {
			if reached[r.from] {
				reached[r.to] = true
			}
		}
	}
	for s := state(0); int(s) < states; s++ {
		if !reached[s] {
			t.Errorf("%s is never reached", s)
		}
		leaves := slices.ContainsFunc(rows(), func(r transition) bool { return r.from == s && r.to != s })
		if leaves == (s == gone) {
			t.Errorf("%s: can be left: %t", s, leaves)
		}
	}
}

// TestEveryWaitHasADeadline: a state without a deadline waits for the program, for a person, or for a death.
func TestEveryWaitHasADeadline(t *testing.T) {
	config, err := Config{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	for s := state(0); int(s) < states; s++ {
		d, _ := config.deadline(s)
		acts := lifecycle[s][onDeadline] != nil
		if acts && d == 0 {
			t.Errorf("%s acts on a deadline, and has none", s)
		}
		if d != 0 && !acts {
			t.Errorf("%s has a deadline, and does not act on it", s)
		}
	}
}

// TestADeathNeverLeavesNobodyServing is I4 in the tables: wherever the peer of a handover can die, there is a transition, and
// it leads to serving, or to starting where the program is not ready.
func TestADeathNeverLeavesNobodyServing(t *testing.T) {
	for _, s := range []state{joining, preparing, checking} {
		if row := lifecycle[s][onDead]; row == nil || row.to != starting {
			t.Errorf("%s: a successor that is not ready does not go on alone", s)
		}
	}
	for _, s := range []state{ready, frozen, proving, asking, returning} {
		if row := lifecycle[s][onDead]; row == nil || row.to != serving {
			t.Errorf("%s: a ready successor does not promote itself", s)
		}
	}
	for _, s := range []state{offering, awaiting, freezing, passing, committed, probation, reclaiming, fencing, aborting} {
		if row := lifecycle[s][onDead]; row == nil || row.to != serving {
			t.Errorf("%s: the incumbent does not go on when its successor dies", s)
		}
	}
}

// TestOnlyDeathOrReturnEndsProbationForTheIncumbent is I3 in the tables: from COMMIT on, the incumbent accepts again only after
// the successor has died or returned.
func TestOnlyDeathOrReturnEndsProbationForTheIncumbent(t *testing.T) {
	for _, r := range incumbentLife {
		if r.to == serving && slices.Contains([]state{committed, probation, reclaiming, fencing}, r.from) && r.on != onDead && r.on != onReturned {
			t.Errorf("%s accepts again on %s", r.from, r.on)
		}
	}
}

// TestOnlyTheIncumbentKills and only before FINAL.
func TestOnlyTheIncumbentKills(t *testing.T) {
	for _, r := range rows() {
		if slices.Contains(r.do, doKill) && !slices.Contains([]state{aborting, committed, probation, reclaiming, fencing}, r.from) {
			t.Errorf("%s kills on %s", r.from, r.on)
		}
	}
}

// TestNothingIrreversibleBeforeFinal: connections follow, and others are told to leave, only where another generation serves
// for good.
func TestNothingIrreversibleBeforeFinal(t *testing.T) {
	for _, r := range rows() {
		for _, a := range r.do {
			if (a == doFinal || a == doFollow || a == doEnd) && r.to != draining && r.to != ending {
				t.Errorf("%s on %s: %s leads to %s", r.from, r.on, a, r.to)
			}
		}
	}
}

// TestAWishToEndIsNeverLost: wherever a wish to end has no transition, a state that has one lies ahead of every way out.
func TestAWishToEndIsNeverLost(t *testing.T) {
	for s := state(0); int(s) < states; s++ {
		if lifecycle[s][onStop] != nil || s == gone {
			continue
		}
		for _, r := range rows() {
			if r.from == s && r.to != s && r.to != gone && lifecycle[r.to][onStop] == nil &&
				!slices.ContainsFunc(rows(), func(n transition) bool { return n.from == r.to && lifecycle[n.to][onStop] != nil }) {
				t.Errorf("told to end in %s, then %s: no way to end from %s", s, r.on, r.to)
			}
		}
	}
}
