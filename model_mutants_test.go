package handover

import (
	"slices"
	"testing"
)

// mutant is a build that has one of its rules wrong, and what the model must say of it.
type mutant struct {
	name   string
	caught string
	mutate func(m *handoverModel)
}

// becomes puts another row in the place of one.
func becomes(from state, on event, to state, actions ...action) func(*handoverModel) {
	return func(m *handoverModel) { m.table[from][on] = &transition{from, on, to, actions} }
}

func all(several ...func(*handoverModel)) func(*handoverModel) {
	return func(m *handoverModel) {
		for _, one := range several {
			one(m)
		}
	}
}

func without(from state, on event) func(*handoverModel) {
	return func(m *handoverModel) { m.table[from][on] = nil }
}

var handoverMutants = []mutant{
	{"a successor takes the end of its link for a death", "I3", becomes(frozen, onEOF, serving, doOpen)},
	{"an incumbent takes the end of its link for a death", "I3", becomes(probation, onEOF, serving, doThaw, doResumed)},
	{"a successor promotes itself on silence before COMMIT", "I3", becomes(frozen, onDeadline, serving, doOpen)},
	{"a kill is not awaited", "I3", becomes(committed, onDeadline, serving, doKill, doThaw, doResumed)},
	{"a freeze is not awaited", "I3", becomes(awaiting, onReady, passing, doFreeze, doCarry)},
	{"RETURNED is said before accepting has stopped", "I3", becomes(proving, onResume, returning, doGiveBack, doReturned)},
	{"the incumbent accepts on RETURN", "I3", becomes(probation, onReturn, serving, doThaw, doResumed)},
	{"the incumbent accepts when it has said RESUME", "I3", becomes(probation, onUnhealthy, serving, doThaw, doResume, doResumed)},
	{"a successor serves before COMMIT", "I3", becomes(frozen, onCarried, proving, doImported, doServe)},
	{"a successor kills", "I3", becomes(proving, onEOF, proving, doKill)},
	{"an incumbent kills after FINAL", "I3", becomes(draining, onEOF, draining, doKill)},
	{"who cannot be told RESUMED stands by for ever", "I3", func(m *handoverModel) { m.unheard = true }},
	{"a freeze that was undone is taken for the next one's", "I3", func(m *handoverModel) { m.staleFreeze = true }},

	{"a successor that was offered the sockets ends when the incumbent dies", "I1", becomes(preparing, onDead, gone, doFail)},

	{"a frozen successor ends when the incumbent dies", "I4", becomes(frozen, onDead, gone, doFail)},
	{"a successor that is not ready ends when the incumbent dies", "I4", becomes(checking, onDead, gone, doFail)},
	{"a death after COMMIT is not heeded", "I4", without(committed, onDead)},
	{"an incumbent waits for RETURNED for ever", "I4", without(reclaiming, onDeadline)},
	{"a successor that stops is awaited for ever", "I4", without(passing, onDeadline)},
	{"RESUME is not followed by a kill", "I4", becomes(reclaiming, onDeadline, reclaiming)},
	{"a successor that was taken back drains before RESUMED", "I4", becomes(returning, onPaused, draining, doReturned, doFollow)},
	{"the incumbent dies while its successor returns, and it goes on returning", "I4", without(returning, onDead)},
	{"a death is taken for silence", "I4", func(m *handoverModel) { m.lateDeath = true }},
	{"the end of a link is told before the death that it comes from", "I4", func(m *handoverModel) { m.lateEnd = true }},
	{"a handover is final to a dead successor", "I4", func(m *handoverModel) { m.blindFinal = true }},

	{"accepting stays parked after an abort", "I5", becomes(passing, onDead, serving, doAborted)},
	{"an attempt is over before its successor has died", "I5", becomes(aborting, onEOF, serving, doAborted)},
	{"an attempt is not concluded", "I5", all(becomes(offering, onDead, serving), becomes(aborting, onDead, serving))},

	{"RETURN and RESUME must not cross", "unexpected", without(reclaiming, onReturn)},
	{"ABORT must not cross FREEZE", "unexpected", without(freezing, onAbort)},
}

// TestModelFindsEachMutant: a model that finds nothing wrong has to be able to. Each mutant must break the invariant that its rule is
// there for, whichever else it breaks sooner.
func TestModelFindsEachMutant(t *testing.T) {
	for _, mutant := range handoverMutants {
		m := newHandoverModel()
		m.table = index(slices.Clone(successorLife), slices.Clone(incumbentLife))
		m.only = mutant.caught
		mutant.mutate(m)
		x := m.check(bounds{attempts: 1, faults: 1, wishes: 1}, modelLimit)
		if x.broken < 0 {
			x = m.check(bounds{attempts: 2, faults: 1, wishes: 0}, modelLimit)
		}
		if x.broken < 0 {
			t.Errorf("%s: nothing of %s is found in %d states", mutant.name, mutant.caught, len(x.states))
			continue
		}
		t.Logf("%s: %s", mutant.name, x.wrong)
	}
}
