// Package scenario is what is done to each subject, and what came of it.
package scenario

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/handover-go/handover/bench/measure"
	"github.com/handover-go/handover/bench/service"
	"github.com/handover-go/handover/bench/subject"
	"github.com/handover-go/handover/handovertest"
)

// Result is what is known of a subject. Each scenario adds to it, in every round.
type Result struct {
	Subject *subject.Subject
	Trouble []string // what kept a scenario from its end

	// Upgraded
	Upgrades, Requests int
	Lost               map[string]map[handovertest.Outcome]int // by kind of client
	OwnFaults          int                                     // requests that the load could not send
	Window, Steady     *hdrhistogram.Histogram                 // microseconds
	Gone               []time.Duration
	Switches           []time.Duration  // as handover itself has it
	Busy               []float64        // share of all processors that the load and what serves it take when steady
	Single, Peak       []measure.Memory // before an upgrade, and the most in its overlap
	Keeper             []int            // bytes: the keeper's anonymous memory

	// Probed
	Gaps, Control []time.Duration // over an upgrade, and over as long a time without one

	// Driven
	PerSecond, CPU []float64 // answers a second; processor time for each, in microseconds
	Ratio          []float64 // of answers a second, to plain net/http in turn
	CPURatio       []float64 // the same of the processor time
	Allocations    []float64 // heap objects a request

	// Killed
	Restarted []time.Duration
	Never     int // not served again within KillPatience

	// Given a bad build
	Bad map[service.Fault]Bad
}

// Bad is what a bad build did.
type Bad struct {
	Asked, Failed, Refused, Closed int
	Served                         string // by whom, at the end
}

// NewResult knows nothing yet.
func NewResult(s *subject.Subject) *Result {
	window, steady := measure.NewLatencies().Split()
	return &Result{Subject: s, Lost: map[string]map[handovertest.Outcome]int{}, Window: window, Steady: steady, Bad: map[service.Fault]Bad{}}
}

// Count is how many losses of these outcomes the clients of a kind had; of all kinds if it is empty.
func (r *Result) Count(kind string, outcomes ...handovertest.Outcome) int {
	n := 0
	for k, lost := range r.Lost {
		if kind != "" && k != kind {
			continue
		}
		for _, o := range outcomes {
			n += lost[o]
		}
	}
	return n
}
