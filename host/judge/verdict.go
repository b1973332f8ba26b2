package judge

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// Decision is what is said of a release, or of one test of it.
type Decision string

// The decisions.
const (
	Undecided    Decision = "undecided"    // nothing speaks against it so far, and the bake goes on
	Pass         Decision = "pass"         // every test could be made, and none failed
	Fail         Decision = "fail"         // take it back
	Inconclusive Decision = "inconclusive" // none failed, and at least one had too little to go by
)

// Verdict is a decision with the reason for it.
type Verdict struct {
	Decision Decision   `json:"decision"`
	Reason   string     `json:"reason"` // one line, with figures
	Evidence []Evidence `json:"evidence,omitempty"`
}

// sum makes one verdict of all tests. closed: no more observations will come.
func sum(all []Evidence, closed bool) Verdict {
	v := Verdict{Decision: Undecided, Evidence: all}
	with := func(d Decision) []string {
		var details []string
		for _, e := range all {
			if e.Outcome == d {
				details = append(details, e.Detail)
			}
		}
		return details
	}
	failed, unclear := with(Fail), with(Inconclusive)
	reasons := append(with(Pass), unclear...)
	switch {
	case len(all) == 0:
		reasons = []string{"nothing was observed"}
		if closed {
			v.Decision = Inconclusive
		}
	case len(failed) > 0:
		v.Decision, reasons = Fail, failed
	case !closed:
	case len(unclear) > 0:
		v.Decision, reasons = Inconclusive, unclear
	default:
		v.Decision = Pass
	}
	v.Reason = strings.Join(reasons, "; ")
	return v
}

// Figures as they stand in reasons.

func number(v float64) string { return fmt.Sprintf("%.0f", v) }

func cores(v float64) string { return fmt.Sprintf("%.2f cores", v) }

func bytes(v float64) string { return fmt.Sprintf("%.1f MiB", v/(1<<20)) }

func percent(v float64) string { return fmt.Sprintf("%.3g %%", 100*v) }

func seconds(v float64) string { return brief(time.Duration(v * float64(time.Second))) }

// descending compares for an order from the largest to the smallest.
func descending[T cmp.Ordered](a, b T) int { return cmp.Compare(b, a) }

func brief(d time.Duration) string {
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}
