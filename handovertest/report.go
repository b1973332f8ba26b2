package handovertest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Outcome is what became of a request or a connection.
type Outcome string

// Outcomes other than a good answer.
const (
	Failed       Outcome = "failed"        // no whole answer after the first byte was sent, a dial error, or a status other than asked for
	Refused      Outcome = "refused"       // nobody listened, or no longer when the handshake was through
	Wrong        Outcome = "wrong"         // a malformed answer, or one to something else
	Repeated     Outcome = "repeated"      // an answer that nobody had asked for, or twice
	Closed       Outcome = "closed"        // an idle connection closed by the service
	ClosedPolite Outcome = "closed_polite" // a connection closed after "Connection: close"
	LostInCrash  Outcome = "lost_in_crash" // failed or closed, with the process that held the connection killed before
	Unwritten    Outcome = "unwritten"     // failed or closed at the instant of a kill, on a connection that by the ledgers nobody held
	OwnFault     Outcome = "own_fault"     // a request that the driver could not send, for want of a port or a descriptor
)

// Report is what a load has seen. Counts are of requests, those of Closed,
// ClosedPolite and Repeated of connections, LostInCrash and Unwritten of either.
type Report struct {
	Began time.Time     `json:"began"`
	Took  time.Duration `json:"took_ns"`
	Seed  uint64        `json:"seed"`

	Requests    int `json:"requests"`
	OK          int `json:"ok"`
	Connections int `json:"connections"` // opened

	Failed       int `json:"failed"`
	Refused      int `json:"refused"`
	Wrong        int `json:"wrong"`
	Repeated     int `json:"repeated"`
	Closed       int `json:"closed"`
	ClosedPolite int `json:"closed_polite"`
	LostInCrash  int `json:"lost_in_crash"`
	// Unwritten counts connections that by the ledgers nobody held, and that were opened, or passed on by who held them, and lost within a
	// tenth of a second, and OwnStall, of a kill. The killed process may have had them without the time for a line.
	Unwritten int `json:"unwritten"`
	OwnFaults int `json:"own_faults"`

	// Latency is that of requests whose time is the service's alone: of
	// KeepAlive, New (with the dial), Silent and Idle clients.
	Latency Latency `json:"latency"`
	// LongestGap is the longest time between two successive good answers,
	// whichever clients had them, from Drive's return until clients begin to
	// leave.
	LongestGap time.Duration `json:"longest_gap_ns"`
	// OwnStall is the longest time by which the driver itself was woken too
	// late: on a busy machine a latency or a gap of that size says nothing
	// about the service.
	OwnStall     time.Duration `json:"own_stall_ns"`
	ByPID        map[int]int   `json:"by_pid"`        // good answers by process
	ByGeneration map[int]int   `json:"by_generation"` // good answers by generation
	// LostByKind is how many losses of each outcome the clients of a kind, as in Clients, had. Kinds without a loss are not in it.
	LostByKind map[string]map[Outcome]int `json:"lost_by_kind"`
	Losses     []Loss                     `json:"losses"` // the first 50 that are not OK, in order
	// LedgerError says why losses in a crash could not be told from others.
	LedgerError string `json:"ledger_error,omitempty"`
}

// Loss is one thing that went wrong.
type Loss struct {
	Outcome Outcome   `json:"outcome"`
	At      time.Time `json:"at"`     // when it was seen
	Kind    string    `json:"kind"`   // of the client, as in Clients
	Client  int       `json:"client"` // number of the client
	Request string    `json:"request,omitempty"`
	Local   string    `json:"local,omitempty"` // address of the client
	Opened  time.Time `json:"opened,omitzero"` // when its connection was asked for
	Reason  string    `json:"reason"`
}

const keptLosses = 50

// Lost returns how many requests and connections the service lost, without
// polite closes and without those that a crash explains, or may.
func (r Report) Lost() int {
	return r.Failed + r.Refused + r.Wrong + r.Repeated + r.Closed
}

// String is a summary of a few lines, followed by the losses that were kept.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d requests on %d connections in %v: %d ok, %d failed, %d refused, %d wrong, %d repeated, %d closed, %d closed politely, %d lost in a crash",
		r.Requests, r.Connections, r.Took.Round(time.Millisecond), r.OK, r.Failed, r.Refused, r.Wrong, r.Repeated, r.Closed, r.ClosedPolite, r.LostInCrash)
	if r.Unwritten > 0 {
		fmt.Fprintf(&b, ", %d perhaps", r.Unwritten)
	}
	if r.OwnFaults > 0 {
		fmt.Fprintf(&b, ", %d not sent by the driver's own fault", r.OwnFaults)
	}
	fmt.Fprintf(&b, "\nlatency p50 %v, p99 %v, max %v; longest gap %v; own stall %v; seed %d", r.Latency.P50, r.Latency.P99, r.Latency.Max, r.LongestGap, r.OwnStall, r.Seed)
	for _, pid := range slices.Sorted(maps.Keys(r.ByPID)) {
		fmt.Fprintf(&b, "\npid %d: %d answers", pid, r.ByPID[pid])
	}
	if r.LedgerError != "" {
		fmt.Fprintf(&b, "\nledger: %s", r.LedgerError)
	}
	for _, l := range r.Losses {
		fmt.Fprintf(&b, "\n%s", l)
	}
	return b.String()
}

// String names the loss, its client and its connection in one line.
func (l Loss) String() string {
	s := fmt.Sprintf("%s %s: %s client %d", l.At.Format("15:04:05.000000"), l.Outcome, l.Kind, l.Client)
	if l.Local != "" {
		s += fmt.Sprintf(" from %s (opened %s)", l.Local, l.Opened.Format("15:04:05.000000"))
	}
	if l.Request != "" {
		s += ", request " + l.Request
	}
	return s + ": " + l.Reason
}

func (r *Report) count(l Loss) {
	if r.LostByKind[l.Kind] == nil {
		r.LostByKind[l.Kind] = map[Outcome]int{}
	}
	r.LostByKind[l.Kind][l.Outcome]++
	switch l.Outcome {
	case Failed:
		r.Failed++
	case Refused:
		r.Refused++
	case Wrong:
		r.Wrong++
	case Repeated:
		r.Repeated++
	case Closed:
		r.Closed++
	case ClosedPolite:
		r.ClosedPolite++
	case LostInCrash:
		r.LostInCrash++
	case Unwritten:
		r.Unwritten++
	case OwnFault:
		r.OwnFaults++
	}
}

// tally is what one client has seen: written by the client, read by reports.
type tally struct {
	mu           sync.Mutex
	requests     int
	ok           int
	connections  int
	latency      histogram
	byPID        map[int]int
	byGeneration map[int]int
	losses       []Loss
}

func (t *tally) asked(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.requests += n
}

func (t *tally) opened() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.connections++
}

func (t *tally) answered(a Answer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ok++
	t.byPID[a.PID]++
	t.byGeneration[a.Generation]++
}

func (t *tally) took(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.latency.add(d)
}

func (t *tally) lost(l Loss) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.losses = append(t.losses, l)
}

func (t *tally) addTo(r *Report, latency *histogram) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.Requests += t.requests
	r.OK += t.ok
	r.Connections += t.connections
	latency.merge(&t.latency)
	for pid, n := range t.byPID {
		r.ByPID[pid] += n
	}
	for generation, n := range t.byGeneration {
		r.ByGeneration[generation] += n
	}
	r.Losses = append(r.Losses, t.losses...)
}
