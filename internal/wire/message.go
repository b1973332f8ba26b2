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
	Schemas    map[string]uint32 `json:"schemas,omitempty"`    // state the incumbent could read back, by name
	Counting   bool              `json:"counting,omitempty"`   // STATS was asked for in the life of the service: requests are counted
	Executable bool              `json:"executable,omitempty"` // it rides on the frame, behind the pidfd
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

// Status asks how the service is, or, with Follow, how the handover under way ends.
type Status struct {
	Follow bool   `json:"follow,omitempty"` // the REPLY is that of the handover under way, or else of the last; STATE is wanted until then
	Start  *Start `json:"start,omitempty"`  // a keeper tells what of it is other than for the build that serves
}

// Upgrade asks for a handover. The zero value starts the service's own command.
type Upgrade struct {
	Binary   string `json:"binary,omitempty"`   // the file to start instead, absolute
	Dir      string `json:"dir,omitempty"`      // to start it in, absolute; empty: where the keeper starts every build
	Digest   string `json:"digest,omitempty"`   // of the file, hexadecimal SHA-256: nothing is to happen if this build serves in Dir already
	Rollback bool   `json:"rollback,omitempty"` // to the build before
	Keeper   bool   `json:"keeper,omitempty"`   // of the keeper itself
	Watch    bool   `json:"watch,omitempty"`    // STATE is wanted until the REPLY
	Label    string `json:"label,omitempty"`    // that STATUS tells of what is started by this
	Start    *Start `json:"start,omitempty"`    // how this build is started, whenever it is; nil: as the one that serves
}

// Start is how a build is started. The environment may have secrets: it is never logged.
type Start struct {
	Args   []string `json:"args,omitempty"`   // after the program
	Env    []string `json:"env,omitempty"`    // all of the environment, KEY=value, but for what the keeper itself tells the service
	Limits []string `json:"limits,omitempty"` // RESOURCE=SOFT:HARD
	Dir    string   `json:"dir,omitempty"`    // to run in, absolute; empty: that of the build
	Kept   bool     `json:"kept,omitempty"`   // a build that the keeper has kept is started as it was before, and only another one so
}

// Stop asks for a graceful end.
type Stop struct{}

// Reply answers Status, Stats, Upgrade, Stop and Successor.
type Reply struct {
	Status     *ServiceStatus `json:"status,omitempty"`
	Stats      []Figures      `json:"stats,omitempty"`
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
	TLS         *TLS       `json:"tls,omitempty"`    // nil: connections over TLS are drained
	Keeper      *Keeping   `json:"keeper,omitempty"` // nil: there is none
}

// TLS tells of connections over TLS that go on in other generations. The figures are those of the process, since it began.
type TLS struct {
	Off    string            `json:"off,omitempty"`    // why none does, empty if they do
	Left   uint64            `json:"left"`             // let go to another generation
	Came   uint64            `json:"came"`             // taken from another, or back
	Stayed map[string]uint64 `json:"stayed,omitempty"` // that cannot go, by reason
}

// Keeping is what a keeper knows of its service.
type Keeping struct {
	PID      int    `json:"pid"`
	Build    Build  `json:"build"`
	State    string `json:"state,omitempty"`    // of the keeper: down, starting, serving, upgrading or ending
	Running  string `json:"running,omitempty"`  // digest of the build that serves
	Previous string `json:"previous,omitempty"` // of the one that a rollback would start
	Restarts int    `json:"restarts"`           // after deaths of the service, since the keeper began
	Last     string `json:"last,omitempty"`     // how the last attempt or life ended, for people

	Generations []Living `json:"generations,omitempty"` // all that live, by their numbers
	Attempt     *Attempt `json:"attempt,omitempty"`     // the last handover that has ended; nil: none that this keeper knows of
	Differs     []string `json:"differs,omitzero"`      // from what STATUS asked about: args, limits, dir, and env with the name of a variable; nil: it did not ask
}

// Living is a generation as its keeper knows it.
type Living struct {
	Generation int    `json:"generation"`
	PID        int    `json:"pid"`
	State      string `json:"state,omitempty"`      // where it stands, as it said last
	Digest     string `json:"digest,omitempty"`     // SHA-256 of its build; empty: it is not kept
	Dir        string `json:"dir,omitempty"`        // it was started in
	Output     string `json:"output,omitempty"`     // the file that it writes to, if it has one of its own
	Label      string `json:"label,omitempty"`      // of the UPGRADE by which its build was asked for
	StartedMs  int64  `json:"started_ms,omitempty"` // milliseconds since 1970; 0: by another keeper
}

// Attempt is how a handover ended.
type Attempt struct {
	Number     uint32 `json:"number,omitempty"`
	Outcome    string `json:"outcome"`
	Generation int    `json:"generation,omitempty"` // that served then
	Error      string `json:"error,omitempty"`
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
	// VotePromote ends probation before its time. Only who asked for the handover says it, and the keeper for them.
	VotePromote = "promote"
)

// KnownVerdict reports whether it is one of those above.
func KnownVerdict(verdict string) bool {
	return verdict == VotePass || verdict == VoteFail || verdict == VoteHold || verdict == VotePromote
}

// Vote is an opinion. A keeper's: of a successor that wants to be ready, said to it, and later said to the incumbent. That of who
// asked for the handover, or follows it: said to whoever was asked.
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
	Released    bool   `json:"released,omitempty"` // it has failed, and takes nothing in any more: the next one can be started while it finishes what it has
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
func (*Stats) Kind() Kind     { return KindStats }
