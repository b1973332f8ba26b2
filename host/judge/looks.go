package judge

import "fmt"

// growth is by how much the candidate's requests must have grown for another look. With 1.25 a bake of a hundred intervals has
// some twenty looks, and what has gone wrong is seen after at most a quarter more of the time that the bake has lasted.
const growth = 1.25

// looks keeps account of the looks at one rate, and of the budget that they spend.
type looks struct {
	budget float64 // share of false alarms, over all looks
	needed uint64  // requests of each build
	taken  int
	at     uint64 // requests of the candidate at the last look
}

func newLooks(p Policy) looks { return looks{budget: p.share(), needed: p.MinRequests} }

// begin takes a look at n requests of the candidate, if one is due, and returns the largest p-value that fails at it. closing: no
// other look will come.
func (l *looks) begin(n uint64, closing bool) (alpha float64, due bool) {
	due = n >= l.needed && (float64(n) >= growth*float64(l.at) || closing && n > l.at)
	if !due {
		return 0, false
	}
	l.taken++
	l.at = n
	return l.budget / float64(l.taken*(l.taken+1)), true
}

// lacking is what is said where one of the builds has too few requests to be compared; "" if both have enough.
func (l *looks) lacking(candidate, incumbent uint64) string {
	switch {
	case candidate < l.needed:
		return fmt.Sprintf("%d requests, %d are needed", candidate, l.needed)
	case incumbent < l.needed:
		return fmt.Sprintf("%d requests of the incumbent, %d are needed", incumbent, l.needed)
	}
	return ""
}

// conclude fills in what a look has led to. detail is what was seen, striking whether that is over the limit, and text writes a
// value for people.
func (e *Evidence) conclude(detail string, striking bool, text func(float64) string) {
	e.Outcome, e.Detail = Pass, detail
	if e.Value > e.Limit && e.P <= e.Alpha {
		e.Outcome = Fail
	}
	if e.Outcome == Fail || striking {
		e.Detail += fmt.Sprintf(" (without the worst intervals %s, allowed %s; p %.2g, up to %.2g fails)", text(e.Value), text(e.Limit), e.P, e.Alpha)
	}
}
