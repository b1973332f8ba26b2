package demo

import (
	"fmt"
	"time"

	"github.com/handover-go/handover"
)

// result is how an attempt went, by the service's log.
type result struct {
	outcome   handover.Outcome
	successor int
	began     time.Time

	final      bool // the incumbent has said so
	pid        int  // the successor that has
	generation int
	change     time.Duration

	why string // Aborted, Resumed

	bad    time.Time // Resumed: when the build crashed, or failed the check that decided
	back   time.Duration
	drains bool // the build lives, and holds requests
}

// complete reports whether nothing more is to come. A handover is final when both sides say so.
func (r result) complete() bool {
	return r.outcome != "" && (r.outcome != handover.Final || r.final)
}

// text says what happened; current is the build that serves now.
func (r result) text(current build) string {
	switch r.outcome {
	case handover.Final:
		return fmt.Sprintf("serves as generation %d", r.generation)
	case handover.Aborted:
		return fmt.Sprintf("refused before the commit; %s serves on", current.name)
	default:
		return fmt.Sprintf("found bad after %s; %s serves again %s later", short(r.bad.Sub(r.began)), current.name, short(r.back))
	}
}

func (r result) switched() string {
	if r.outcome != handover.Final {
		return ""
	}
	return short(r.change)
}

// short gives a duration three digits, in milliseconds or seconds.
func short(d time.Duration) string {
	if d >= time.Second {
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
	return fmt.Sprintf("%.3g ms", milliseconds(d))
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
