package judge

import "time"

// Observation is what was seen of the candidate since the observation before.
type Observation struct {
	At        time.Time // when it was made; never before the one before it
	Checks    []Check   // the outcomes since the observation before, in their order
	Resources Resources // one reading
	Traffic   Traffic   // since the candidate began
	Heartbeat Heartbeat
	Version   string // that the candidate reports; "" if it has not said
	Restarts  int    // of the candidate, since it began to serve
}

// Baseline is what the incumbent was like, before the handover: what the candidate is compared with. What is unknown of it
// makes the comparison inconclusive.
type Baseline struct {
	Resources Resources `json:"resources"`
	Traffic   Traffic   `json:"traffic"` // of a time as like the bake as can be had, such as the minutes before it

	// Intervals are the same traffic, interval by interval, in order. They show how far its requests depend on each other. Without
	// them, or with fewer than eight, they are taken as independent, which makes more false alarms.
	Intervals []Traffic `json:"intervals,omitempty"`
}

// Add takes in the next interval of the incumbent's traffic.
func (b *Baseline) Add(interval Traffic) {
	b.Traffic = b.Traffic.Merge(interval)
	b.Intervals = append(b.Intervals, interval)
}

// Check is one outcome of a check.
type Check struct {
	Name     string        // tells one check of a service from the others
	OK       bool          // whether it passed
	Detail   string        // one line: what was seen
	Latency  time.Duration // how long it took
	Failures int           // in a row, that fail a release: 1 or more, or 0 for Policy.Failures
}

// Resources is one reading of what the processes of a build use.
type Resources struct {
	Known      Known   `json:"known"` // which of the figures were read; the others are 0
	RSS        uint64  `json:"rss"`   // bytes
	CPU        float64 `json:"cpu"`   // cores: 1 is one core busy since the reading before
	FDs        int     `json:"fds"`
	Threads    int     `json:"threads"`
	Goroutines int     `json:"goroutines"`
}

// Known is a set of figures of Resources.
type Known uint8

// The figures of Resources.
const (
	KnownRSS Known = 1 << iota
	KnownCPU
	KnownFDs
	KnownThreads
	KnownGoroutines
)

// Heartbeat is the last sign of life from the library in the candidate.
type Heartbeat struct {
	Known bool
	At    time.Time
}

// kinds are the resources that have a ceiling.
var kinds = [...]struct {
	name    string // in evidence
	field   string // of Policy
	known   Known
	slack   float64 // above the incumbent's: allowed by any ratio
	value   func(Resources) float64
	ceiling func(Policy) Ceiling
	text    func(float64) string
}{
	{"rss", "RSS", KnownRSS, 16 << 20, func(r Resources) float64 { return float64(r.RSS) }, func(p Policy) Ceiling { return p.RSS }, bytes},
	{"cpu", "CPU", KnownCPU, 0.1, func(r Resources) float64 { return r.CPU }, func(p Policy) Ceiling { return p.CPU }, cores},
	{"descriptors", "FDs", KnownFDs, 32, func(r Resources) float64 { return float64(r.FDs) }, func(p Policy) Ceiling { return p.FDs }, number},
	{"threads", "Threads", KnownThreads, 32, func(r Resources) float64 { return float64(r.Threads) }, func(p Policy) Ceiling { return p.Threads }, number},
	{"goroutines", "Goroutines", KnownGoroutines, 32, func(r Resources) float64 { return float64(r.Goroutines) }, func(p Policy) Ceiling { return p.Goroutines }, number},
}
