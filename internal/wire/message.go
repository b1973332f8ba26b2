package wire

import "strconv"

// Message is the meaning of one frame. Each kind has one type; all but Carry, Conns and Verdicts are JSON objects.
type Message interface{ Kind() Kind }

// Range is the span of protocol versions that a speaker knows, both ends included.
type Range struct {
	Min int `json:"min"`
	Max int `json:"max"`
}

// Build names a program, for people: it appears in logs, errors and results.
type Build struct {
	Path     string `json:"path,omitempty"`     // main package
	Version  string `json:"version,omitempty"`  // of the main module
	Revision string `json:"revision,omitempty"` // of its repository
	Go       string `json:"go,omitempty"`       // that compiled it
}

// Role is what the speaker of a HELLO is.
type Role string

// The roles of protocol 1.
const (
	RoleSuccessor Role = "successor"
	RoleDraining  Role = "draining"
	RoleControl   Role = "control"
	RoleKeeper    Role = "keeper"
	RoleIncumbent Role = "incumbent" // only in answers
)

// Hello opens a link and, but to a successor, answers one. The pidfd of a generation or a keeper rides on it, and then the
// takeover socket, if Takeover.
type Hello struct {
	Protocol   Range    `json:"protocol"`
	Features   []string `json:"features"`
	Role       Role     `json:"role"`
	PID        int      `json:"pid"`
	Build      Build    `json:"build"`
	Generation int      `json:"generation,omitempty"`
	Takeover   bool     `json:"takeover,omitempty"`
}

// Listener describes a listening or datagram socket. Network, Address and Ordinal are its key.
type Listener struct {
	Network string `json:"network"`
	Address string `json:"address"`         // as the program asked for it
	Ordinal int    `json:"ordinal"`         // counts listeners of the same network and address
	Bound   string `json:"bound,omitempty"` // as the kernel has it
	Packet  bool   `json:"packet,omitempty"`
	Shared  bool   `json:"shared,omitempty"` // held by someone outside the service too, as by systemd
}

// Key names the listener in one string.
func (l Listener) Key() string {
	return l.Network + "|" + l.Address + "|" + strconv.Itoa(l.Ordinal)
}

// Offer answers a successor's Hello. The incumbent's pidfd rides on it.
type Offer struct {
	Protocol   int               `json:"protocol"`
	Features   []string          `json:"features"`
	Service    string            `json:"service,omitempty"`
	Generation int               `json:"generation"` // the incumbent's
	PID        int               `json:"pid"`
	Build      Build             `json:"build"`
	Listeners  []Listener        `json:"listeners"`
	Schemas    map[string]uint32 `json:"schemas,omitempty"` // state the incumbent could read back, by name
}

// Listeners carries the descriptors of Offer.Listeners[First:], one each, at most MaxBatch.
type Listeners struct {
	First int `json:"first"`
}

// Ack answers Listeners.
type Ack struct {
	Next int  `json:"next"`           // the first listener not yet received
	Lost bool `json:"lost,omitempty"` // descriptors did not arrive: the successor's table is full
}

// Adopted says which listeners the successor took and which it brought.
type Adopted struct {
	Adopted []int      `json:"adopted"`
	Added   []Listener `json:"added,omitempty"`
}

// Preview hands over a connected socket, which rides on it, as if it had been accepted on the listener named.
type Preview struct {
	Key string `json:"key"`
}

// Ready declares that the successor has imported, checked itself and can serve.
type Ready struct{}

// Freeze opens the freeze.
type Freeze struct {
	BudgetMillis int64 `json:"budget_ms"`
}

// Imported declares that the last state is in and all that the successor must own is acquired.
type Imported struct{}

// Commit makes the successor accept.
type Commit struct {
	Generation int `json:"generation"` // the successor's, from now on
}

// Serving declares that the successor accepts.
type Serving struct{}

// Drainer names a generation that is still draining.
type Drainer struct {
	Generation int `json:"generation"`
	PID        int `json:"pid"`
}

// Final ends probation. The takeover socket rides first, if Takeover, then one link for each of Draining.
type Final struct {
	Takeover bool      `json:"takeover,omitempty"`
	Draining []Drainer `json:"draining,omitempty"`
}

// Gone ends a drain: nothing more will come.
type Gone struct{}

// Code is the class of an abort.
type Code string

// The codes of protocol 1.
const (
	CodeUnsupported Code = "unsupported"
	CodeDenied      Code = "denied"
	CodeBusy        Code = "busy"
	CodeFailed      Code = "failed"
	CodeCancelled   Code = "cancelled"
	CodeDeadline    Code = "deadline"
	// CodeVerification: the build was refused before it was started.
	CodeVerification Code = "verification"
)

// Abort ends an attempt before its commit, and refuses what cannot be accepted.
type Abort struct {
	Code     Code   `json:"code"`
	Reason   string `json:"reason"`
	Protocol Range  `json:"protocol"`
	Build    Build  `json:"build"`
}

// Resume takes the successor back after the commit.
type Resume struct {
	Reason string `json:"reason"`
}

// Return asks to be taken back.
type Return struct {
	Reason string `json:"reason"`
}

// Returned says that the successor accepts nothing and runs nothing more.
type Returned struct{}

// Resumed says that the incumbent serves again: what the successor still holds may follow to it.
type Resumed struct{}

// Redirect names the generation to which the link that rides on it leads.
type Redirect struct {
	Generation int      `json:"generation"`
	Listeners  []string `json:"listeners"` // the keys it listens on; the others are closed for good
}

// Ping asks for a sign of life.
type Ping struct {
	Seq uint64 `json:"seq"`
}

// Pong answers Ping.
type Pong struct {
	Seq         uint64 `json:"seq"`
	Connections int    `json:"connections,omitempty"` // open at this moment: what a crash would cost
}

// Status asks how the service is.
type Status struct{}

// Upgrade asks for a handover. The zero value starts the service's own command.
type Upgrade struct {
	Binary   string `json:"binary,omitempty"`   // the file to start instead, absolute
	Rollback bool   `json:"rollback,omitempty"` // to the build before
	Keeper   bool   `json:"keeper,omitempty"`   // of the keeper itself
	Watch    bool   `json:"watch,omitempty"`    // STATE is wanted until the REPLY
}

// Stop asks for a graceful end.
type Stop struct{}

// Reply answers Status, Upgrade, Stop and Successor.
type Reply struct {
	Status     *ServiceStatus `json:"status,omitempty"`
	Attempt    uint32         `json:"attempt,omitempty"`
	Outcome    string         `json:"outcome,omitempty"`    // final, aborted or resumed
	Generation int            `json:"generation,omitempty"` // that serves now
	PID        int            `json:"pid,omitempty"`        // its process
	Build      string         `json:"build,omitempty"`      // the successor's
	ReadyUs    int64          `json:"ready_us,omitempty"`   // from the start of the successor to READY
	SwitchUs   int64          `json:"switch_us,omitempty"`  // from the incumbent's last accept to SERVING
	TotalUs    int64          `json:"total_us,omitempty"`   // until the outcome
	Lost       int            `json:"lost,omitempty"`       // connections that a dead successor had
	Error      string         `json:"error,omitempty"`
	Code       Code           `json:"code,omitempty"` // class of Error
}

// ServiceStatus is how a service is, as its incumbent sees it.
type ServiceStatus struct {
	Service     string     `json:"service,omitempty"`
	State       string     `json:"state"`
	Generation  int        `json:"generation"`
	PID         int        `json:"pid"`
	Build       Build      `json:"build"`
	Attempt     uint32     `json:"attempt,omitempty"` // under way
	Listeners   []Listener `json:"listeners,omitempty"`
	Draining    []Drainer  `json:"draining,omitempty"`
	Connections int        `json:"connections"`
	UptimeMs    int64      `json:"uptime_ms"`
	Keeper      *Keeping   `json:"keeper,omitempty"` // nil: there is none
}

// Keeping is what a keeper knows of its service.
type Keeping struct {
	PID      int    `json:"pid"`
	Build    Build  `json:"build"`
	Running  string `json:"running,omitempty"`  // digest of the build that serves
	Previous string `json:"previous,omitempty"` // of the one that a rollback would start
	Restarts int    `json:"restarts"`           // after deaths of the service, since the keeper began
	Last     string `json:"last,omitempty"`     // how the last attempt or life ended, for people
}

// Register tells a keeper which listeners a generation holds; their descriptors follow as Listeners.
type Register struct {
	Generation int        `json:"generation"`
	Listeners  []Listener `json:"listeners"`
}

// Verdicts of a Vote.
const (
	VotePass = "pass"
	VoteFail = "fail"
	VoteHold = "hold"
)

// Vote is a keeper's opinion: of a successor that wants to be ready, said to it, and of one in probation, said to the incumbent.
type Vote struct {
	Verdict string `json:"verdict"`
	Reason  string `json:"reason,omitempty"`
}

// Successor hands a process that the keeper started to the incumbent. The link to it and its pidfd ride here.
type Successor struct {
	PID int `json:"pid"`
}

// State tells where a generation stands from now on: in words of docs/architecture.md.
type State struct {
	State       string `json:"state"`
	Generation  int    `json:"generation,omitempty"`
	PID         int    `json:"pid"`
	Attempt     uint32 `json:"attempt,omitempty"`
	Connections int    `json:"connections"`
	Reason      string `json:"reason,omitempty"`
}

func (*Hello) Kind() Kind     { return KindHello }
func (*Offer) Kind() Kind     { return KindOffer }
func (*Listeners) Kind() Kind { return KindListeners }
func (*Ack) Kind() Kind       { return KindAck }
func (*Adopted) Kind() Kind   { return KindAdopted }
func (*Preview) Kind() Kind   { return KindPreview }
func (*Ready) Kind() Kind     { return KindReady }
func (*Freeze) Kind() Kind    { return KindFreeze }
func (*Imported) Kind() Kind  { return KindImported }
func (*Commit) Kind() Kind    { return KindCommit }
func (*Serving) Kind() Kind   { return KindServing }
func (*Final) Kind() Kind     { return KindFinal }
func (*Gone) Kind() Kind      { return KindGone }
func (*Abort) Kind() Kind     { return KindAbort }
func (*Resume) Kind() Kind    { return KindResume }
func (*Return) Kind() Kind    { return KindReturn }
func (*Returned) Kind() Kind  { return KindReturned }
func (*Resumed) Kind() Kind   { return KindResumed }
func (*Redirect) Kind() Kind  { return KindRedirect }
func (*Ping) Kind() Kind      { return KindPing }
func (*Pong) Kind() Kind      { return KindPong }
func (*Status) Kind() Kind    { return KindStatus }
func (*Upgrade) Kind() Kind   { return KindUpgrade }
func (*Stop) Kind() Kind      { return KindStop }
func (*Reply) Kind() Kind     { return KindReply }
func (*Register) Kind() Kind  { return KindRegister }
func (*Vote) Kind() Kind      { return KindVote }
func (*Successor) Kind() Kind { return KindSuccessor }
func (*State) Kind() Kind     { return KindState }
