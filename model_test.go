package handover

import (
	"os"
	"testing"
)

// bounds are how much may befall a world. Each is one more of whatever can happen, at every moment at which it can.
type bounds struct {
	attempts, faults, wishes uint8
}

const modelLimit = 20_000_000 // states, of some 200 bytes: more are a mistake in the model

// TestModelHoldsTheInvariants goes wherever the tables lead, whatever the order of frames, deaths, deadlines and results: one attempt
// with a fault and two wishes at any moment, two with a fault (HANDOVER_COUNT=full: with more of all).
func TestModelHoldsTheInvariants(t *testing.T) {
	m := newHandoverModel()
	holds(t, m, bounds{attempts: 1, faults: 1, wishes: 2})
	holds(t, m, bounds{attempts: 2, faults: 1, wishes: 0})
	kept := newHandoverModel()
	kept.keeper = true
	holds(t, kept, bounds{attempts: 1, faults: 1, wishes: 1})
	if os.Getenv("HANDOVER_COUNT") == "full" {
		holds(t, m, bounds{attempts: 2, faults: 1, wishes: 1})
		holds(t, m, bounds{attempts: 2, faults: 2, wishes: 1})
		holds(t, m, bounds{attempts: 1, faults: 3, wishes: 2})
		holds(t, kept, bounds{attempts: 2, faults: 2, wishes: 1})
	}
	for _, r := range rows() {
		if never, taken := unmodelled[at{r.from, r.on}], m.taken[at{r.from, r.on}] || kept.taken[at{r.from, r.on}]; (never != "") == taken {
			t.Errorf("%s on %s: the model comes there: %t; why it should not: %q", r.from, r.on, taken, never)
		}
	}
}

// unmodelled are the rows that the model never comes to, and why.
var unmodelled = map[at]string{
	{starting, onEOF}:     "the end of a link is told before the death, or not at all",
	{committed, onReturn}: "SERVING comes before RETURN: a build that knows better may leave it out",
}

func holds(t *testing.T, m *handoverModel, b bounds) {
	t.Helper()
	x := m.check(b, modelLimit)
	t.Logf("%+v, with a keeper %t: %d states, %d moves", b, m.keeper, len(x.states), x.moved)
	if x.broken >= 0 {
		t.Errorf("%+v: %s", b, x.trace())
	}
}

func TestModelKnowsWhatEachActionDoes(t *testing.T) {
	for a, effect := range effects {
		if effect == nil {
			t.Errorf("%q does nothing in the model", action(a))
		}
	}
}
