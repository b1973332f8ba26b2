package judge

import "fmt"

// streak counts what was so several times in a row.
type streak struct {
	name   string
	limit  int     // failures in a row that fail a release
	heard  uint64  // outcomes
	failed int     // in a row, up to now; once at the limit, it stays there
	value  float64 // of the last outcome, where it has one
	detail string  // of the last outcome
}

func (s *streak) hear(ok bool, detail string) {
	s.heard++
	if s.failed > 0 && s.failed >= s.limit {
		return // several outcomes may come in one observation: a good one does not undo what was decided by then
	}
	s.detail = detail
	if ok {
		s.failed = 0
		return
	}
	s.failed++
}

// outcome is Inconclusive where nothing was heard, or where the last outcomes were bad and not yet enough of them.
func (s *streak) outcome() Decision {
	switch {
	case s.heard > 0 && s.failed == 0:
		return Pass
	case s.heard > 0 && s.failed >= s.limit:
		return Fail
	}
	return Inconclusive
}

// evidence tells of a streak of checks.
func (s *streak) evidence(test, subject string) Evidence {
	e := Evidence{Test: test, Outcome: s.outcome(), Value: float64(s.failed), Limit: float64(s.limit), N: s.heard}
	switch {
	case s.heard == 0:
		e.Detail = subject + ": never heard"
	case s.failed == 0:
		e.Detail = subject + ": good"
	default:
		e.Detail = fmt.Sprintf("%s: failed %d in a row, the last: %s", subject, s.failed, s.detail)
	}
	return e
}
