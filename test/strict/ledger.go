package strict

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Report is what a driver saw.
type Report struct {
	Requests    int // answered, and rightly
	Closed      int // connections that the server closed
	Failed      int // requests, and attempts to connect
	Connections int
	Reasons     []string // why, for the first of what was closed and failed, in order

	ByKind    map[string]int // requests by kind of client
	Processes []int          // that answered, in the order of their first answers

	// P50 and P99 of the time from the last byte of a request to the last of its answer; several requests that were
	// written at once begin together.
	P50, P99 time.Duration
	// Gap is the longest time without any client getting an answer.
	Gap time.Duration
}

func (r Report) String() string {
	return fmt.Sprintf("%d requests on %d connections, answered by %d processes: failed %d, closed %d; p50 %s, p99 %s, longest gap %s",
		r.Requests, r.Connections, len(r.Processes), r.Failed, r.Closed, r.P50, r.P99, r.Gap)
}

// maxReasons is how many reasons are kept: what comes later has mostly the same cause.
const maxReasons = 40

// ledger counts, for all clients of a driver.
type ledger struct {
	mu     sync.Mutex
	report Report
	took   []time.Duration
	last   time.Time // answer
}

func newLedger() *ledger {
	return &ledger{report: Report{ByKind: map[string]int{}}, last: time.Now()}
}

func (l *ledger) connected() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.report.Connections++
}

func (l *ledger) answered(kind string, pid int, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.report.Requests++
	l.report.ByKind[kind]++
	if !slices.Contains(l.report.Processes, pid) {
		l.report.Processes = append(l.report.Processes, pid)
	}
	l.took = append(l.took, took)
	now := time.Now()
	l.report.Gap = max(l.report.Gap, now.Sub(l.last))
	l.last = now
}

func (l *ledger) closed(why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.report.Closed++
	l.reasonLocked("closed", why)
}

func (l *ledger) failed(why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.report.Failed++
	l.reasonLocked("failed", why)
}

func (l *ledger) reasonLocked(what, why string) {
	if len(l.report.Reasons) < maxReasons {
		l.report.Reasons = append(l.report.Reasons, time.Now().Format("15:04:05.000000 ")+what+": "+why)
	}
}

// close returns the report, which is complete once no client runs any more.
func (l *ledger) close() Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.report
	r.Gap = max(r.Gap, time.Since(l.last))
	slices.Sort(l.took)
	if n := len(l.took); n > 0 {
		r.P50, r.P99 = l.took[n/2], l.took[n*99/100]
	}
	return r
}
