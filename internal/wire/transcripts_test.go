package wire

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Who speaks in the transcripts: two builds of one shop. Their ids and addresses are made up.
var (
	oldBuild = Build{Path: "example.com/shop", Version: "v1.4.0", Revision: "9fceb02d0ae598e95dc970b74767f19372d61af8", Go: "go1.26.0"}
	newBuild = Build{Path: "example.com/shop", Version: "v1.5.0", Revision: "08bc0c6a5d9b3a9f6fa6b1c1c1d3a1e6b5f7c2d4", Go: "go1.26.1"}

	web   = Listener{Network: "tcp", Address: ":8080", Bound: "[::]:8080"}
	dns   = Listener{Network: "udp", Address: "127.0.0.1:5353", Ordinal: 1, Bound: "127.0.0.1:5353", Packet: true, Shared: true}
	admin = Listener{Network: "unix", Address: "/run/shop/admin.sock"}

	features = []string{FeatureCarry, FeatureConn, FeaturePreview, FeatureRedirect} // of most: what was there first

	successorHello = Hello{Protocol: Protocols, Features: features, Role: RoleSuccessor, PID: 4202, Build: newBuild}
	incumbentHello = Hello{Protocol: Protocols, Features: features, Role: RoleIncumbent, PID: 4101, Build: oldBuild, Generation: 3}
	offer          = Offer{
		Protocol: 1, Features: features, Service: "shop", Generation: 3, PID: 4101, Build: oldBuild,
		Listeners: []Listener{web, dns}, Schemas: map[string]uint32{"carts": 2, "counters": 1},
	}
	idle = Conn{ID: 1, Key: web.Key(), Type: ConnHTTP1, Wait: 55 * time.Second, Age: 90 * time.Second}
)

// transcripts are the sequences of SPEC.md section 5, each told with every kind of frame it can have.
func transcripts() []transcript {
	all := []transcript{
		handover(), aborted("incumbent"), aborted("successor"), resumed("incumbent"), resumed("successor"),
		redirected(), batches(), lostBatch(), peers(), executable(),
	}
	all = append(all, keeper()...)
	all = append(all, control()...)
	all = append(all, refusals()...)
	return append(all, foreign()...)
}

func handover() transcript {
	return transcript{
		name:  "handover",
		about: "A handover of a stateful service, from HELLO to GONE.",
		steps: append(opening(),
			step{"S>I", 7, &Adopted{Adopted: []int{0, 1}, Added: []Listener{admin}}, 0, nil},
			step{"I>S", 7, &Carry{FirstChunk: true, Schema: 2, Name: "carts", Data: []byte("first half, ")}, 0, nil},
			step{"I>S", 7, &Carry{LastChunk: true, Schema: 2, Name: "carts", Data: []byte("second half")}, 0, nil},
			step{"I>S", 7, &Carry{FirstChunk: true, LastChunk: true, Schema: 1, Name: "counters", Data: []byte{0, 255}}, 0, nil},
			step{"I>S", 7, &Carry{EndOfRound: true}, 0, nil},
			step{"I>S", 7, &Preview{Key: web.Key()}, 1, nil},
			step{"S>I", 7, &Ready{}, 0, nil},
			step{"I>S", 7, &Freeze{BudgetMillis: 250}, 0, nil},
			step{"I>S", 7, &Carry{FirstChunk: true, LastChunk: true, Schema: 1, Name: "counters", Data: []byte{1, 0}}, 0, nil},
			step{"I>S", 7, &Carry{EndOfRound: true}, 0, nil},
			step{"S>I", 7, &Imported{}, 0, nil},
			step{"I>S", 7, &Commit{Generation: 4}, 0, nil},
			step{"S>I", 7, &Serving{}, 0, nil},
			step{"I>S", 7, &Ping{Seq: 1}, 0, nil},
			step{"I>S", 7, &Preview{Key: web.Key()}, 1, nil},
			step{"S>I", 7, &Pong{Seq: 1, Connections: 310}, 0, nil},
			step{"I>S", 7, &Final{Takeover: true}, 1, nil},
			step{"I>S", 7, &Conns{Conns: []Conn{
				idle,
				{ID: 2, Key: web.Key(), Type: ConnHTTP1, Fresh: true, Age: time.Millisecond, Unread: []byte("GET / HT")},
			}}, 2, nil},
			step{"S>I", 7, &Verdicts{Verdicts: []ConnVerdict{{1, Accepted}, {2, Retry}}}, 0, nil},
			step{"I>S", 7, &Conns{Conns: []Conn{
				{ID: 4, Key: web.Key(), Type: ConnSession, Name: "chat", Age: time.Hour, Unread: []byte("\x81\x05hel"), State: []byte(`{"room":7}`)},
			}}, 1, nil},
			step{"S>I", 7, &Verdicts{Verdicts: []ConnVerdict{{4, Accepted}}}, 0, nil},
			step{"I>S", 7, &Conns{Conns: []Conn{{ID: 3, Key: admin.Key(), Type: ConnHTTP1}}}, 1, nil},
			step{"S>I", 7, &Verdicts{Verdicts: []ConnVerdict{{3, Refused}}}, 0, nil},
			step{"I>S", 7, &Conns{Conns: []Conn{{ID: 5, Key: web.Key(), Type: ConnSession, Name: "chat", Age: time.Second, State: []byte(`{"room":8}`)}}}, 1, nil},
			step{"S>I", 7, &Verdicts{Verdicts: []ConnVerdict{{5, Declined}}}, 0, nil},
			step{"I>S", 7, &Gone{}, 0, nil},
		),
	}
}

// opening begins every attempt that is not refused. The successor does not know its number yet.
func opening() []step {
	return []step{
		{"S>I", 0, &successorHello, 1, nil},
		{"I>S", 7, &offer, 1, nil},
		{"I>S", 7, &Listeners{First: 0}, 2, nil},
		{"S>I", 7, &Ack{Next: 2}, 0, nil},
	}
}

func aborted(by string) transcript {
	abort := step{"S>I", 7, &Abort{Code: CodeFailed, Reason: "carts: schema 2 is not known", Protocol: Protocols, Build: newBuild}, 0, nil}
	if by == "incumbent" {
		abort = step{"I>S", 7, &Abort{Code: CodeDeadline, Reason: "not ready within 1m0s", Protocol: Protocols, Build: oldBuild}, 0, nil}
	}
	return transcript{
		name:  "abort-by-" + by,
		about: fmt.Sprintf("An attempt that the %s aborts before COMMIT.", by),
		steps: append(opening(), step{"S>I", 7, &Adopted{Adopted: []int{0, 1}}, 0, nil}, abort),
	}
}

func resumed(by string) transcript {
	steps := append(opening(),
		step{"S>I", 7, &Adopted{Adopted: []int{0, 1}}, 0, nil},
		step{"S>I", 7, &Ready{}, 0, nil},
		step{"I>S", 7, &Freeze{BudgetMillis: 250}, 0, nil},
		step{"S>I", 7, &Imported{}, 0, nil},
		step{"I>S", 7, &Commit{Generation: 4}, 0, nil},
		step{"S>I", 7, &Serving{}, 0, nil},
	)
	reason := "3 of 100 requests failed"
	if by == "successor" {
		reason = "terminated"
		steps = append(steps, step{"S>I", 7, &Return{Reason: reason}, 0, nil})
	}
	return transcript{
		name:  "resume-asked-by-" + by,
		about: fmt.Sprintf("A handover that is taken back after COMMIT, as the %s wants.", by),
		steps: append(steps,
			step{"I>S", 7, &Resume{Reason: reason}, 0, nil},
			step{"S>I", 7, &Returned{}, 0, nil},
			step{"I>S", 7, &Resumed{}, 0, nil},
			step{"S>I", 7, &Conns{Conns: []Conn{idle}}, 1, nil},
			step{"I>S", 7, &Verdicts{Verdicts: []ConnVerdict{{1, Accepted}}}, 0, nil},
			step{"S>I", 7, &Gone{}, 0, nil},
		),
	}
}

func executable() transcript {
	hello, its := successorHello, offer
	hello.Features = append(slices.Clone(features), FeatureExecutable)
	its.Features, its.Executable = hello.Features, true
	return transcript{
		name:  "executable",
		about: "An incumbent without a keeper passes on the file that it runs, for a rollback.",
		steps: []step{
			{"S>I", 0, &hello, 1, nil},
			{"I>S", 7, &its, 2, nil},
			{"I>S", 7, &Listeners{}, 2, nil},
			{"S>I", 7, &Ack{Next: 2}, 0, nil},
		},
	}
}

// peers are those of the socket dns: what is known of them goes to the successor in two chunks, and comes back in one.
func peers() transcript {
	hello, asked := successorHello, offer
	asked.Schemas = map[string]uint32{"handover/peers": 1}
	const (
		head  = "\x00\x14udp|127.0.0.1:5353|1\x00\x08counts/1"
		four  = "\x00\x07\x04\xc0\x00\x02\x01\xd4\x31\x00\x00\x00\x0212"
		six   = "\x00\x17\x10\xfe\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x14\xe9eth0\x00\x00\x00\x00"
		again = "\x00\x07\x04\xc0\x00\x02\x01\xd4\x31\x00\x00\x00\x0213"
	)
	return transcript{
		name:  "peers",
		about: "What is known of the peers of a datagram socket goes along, and comes back as the handover is taken back.",
		steps: []step{
			{"S>I", 0, &hello, 1, nil},
			{"I>S", 7, &asked, 1, nil},
			{"I>S", 7, &Listeners{First: 0}, 2, nil},
			{"S>I", 7, &Ack{Next: 2}, 0, nil},
			{"S>I", 7, &Adopted{Adopted: []int{0, 1}}, 0, nil},
			{"S>I", 7, &Ready{}, 0, nil},
			{"I>S", 7, &Freeze{BudgetMillis: 5000}, 0, nil},
			{"I>S", 7, &Carry{FirstChunk: true, Schema: 1, Name: "handover/peers", Data: []byte(head + four)}, 0, nil},
			{"I>S", 7, &Carry{LastChunk: true, Schema: 1, Name: "handover/peers", Data: []byte(six)}, 0, nil},
			{"I>S", 7, &Carry{EndOfRound: true}, 0, nil},
			{"S>I", 7, &Imported{}, 0, nil},
			{"I>S", 7, &Commit{Generation: 4}, 0, nil},
			{"S>I", 7, &Serving{}, 0, nil},
			{"I>S", 7, &Resume{Reason: "3 of 100 requests failed"}, 0, nil},
			{"S>I", 7, &Carry{FirstChunk: true, LastChunk: true, Schema: 1, Name: "handover/peers", Data: []byte(head + again)}, 0, nil},
			{"S>I", 7, &Returned{}, 0, nil},
			{"I>S", 7, &Resumed{}, 0, nil},
			{"S>I", 7, &Gone{}, 0, nil},
		},
	}
}

func redirected() transcript {
	draining := Hello{Protocol: Protocols, Features: features, Role: RoleDraining, PID: 4007, Build: oldBuild, Generation: 2}
	answer := Hello{Protocol: Protocols, Features: features, Role: RoleIncumbent, PID: 4202, Build: newBuild, Generation: 4}
	return transcript{
		name:  "redirect",
		about: "Generation 3 hands over to 4 while 2 still drains: the two get a link of their own.",
		steps: []step{
			{"I>S", 7, &Final{Takeover: true, Draining: []Drainer{{Generation: 2, PID: 4007}}}, 3, nil},
			{"I>D", 0, &Redirect{Generation: 4, Listeners: []string{web.Key()}}, 2, nil},
			{"D>S", 0, &draining, 1, nil},
			{"S>D", 0, &answer, 1, nil},
			{"D>S", 0, &Conns{Conns: []Conn{idle}}, 1, nil},
			{"S>D", 0, &Verdicts{Verdicts: []ConnVerdict{{1, Accepted}}}, 0, nil},
			{"D>S", 0, &Gone{}, 0, nil},
		},
	}
}

func control() []transcript {
	client := Hello{Protocol: Protocols, Features: []string{}, Role: RoleControl, PID: 4500, Build: Build{Path: "example.com/ctl"}}
	answered := func(name, about string, request Message, reply Reply) transcript {
		return transcript{name: "control-" + name, about: about, steps: []step{
			{"C>I", 0, &client, 1, nil},
			{"I>C", 0, &incumbentHello, 1, nil},
			{"C>I", 0, request, 0, nil},
			{"I>C", 0, &reply, 0, nil},
		}}
	}
	status := ServiceStatus{
		Service: "shop", State: "probation", Generation: 3, PID: 4101, Build: oldBuild, Attempt: 7, Listeners: []Listener{web, dns},
		Draining: []Drainer{{Generation: 2, PID: 4007}}, Connections: 310, UptimeMs: 86_400_000,
	}
	kept := status
	detailed := status
	moving := status
	moving.TLS = &TLS{Left: 290, Came: 310, Stayed: map[string]uint64{"protocol": 12, "version": 3}}
	off := status
	off.TLS = &TLS{Off: "self-test: the handshake cannot be taken over: handshake"}
	detailed.Keeper = &Keeping{
		PID: 4000, Build: keeperHello.Build, State: "upgrading",
		Generations: []Living{{Generation: 3, PID: 4101, State: "probation", Digest: strings.Repeat("9f86d081", 8), Dir: "/srv/shop/1.4.0", Output: "/var/log/handover/shop/20260101T000000.000Z-001.log", StartedMs: 1_767_225_600_000}},
		Attempt:     &Attempt{Number: 7, Outcome: "resumed", Generation: 3, Error: "exit status 2"},
	}
	differing := status
	differing.Keeper = &Keeping{
		PID: 4000, Build: keeperHello.Build, State: "serving", Differs: []string{"args", "env PORT"},
		Generations: []Living{{Generation: 3, PID: 4101, State: "serving", Label: "shop/17"}},
	}
	kept.Keeper = &Keeping{PID: 4000, Build: keeperHello.Build, State: "upgrading", Running: "sha256:9f86d081", Previous: "sha256:60303ae2", Restarts: 1, Last: "exit status 2"}
	return []transcript{
		answered("status", "A client asks how the service is.", &Status{}, Reply{Status: &status}),
		answered("upgrade", "A client asks for a handover, and hears how it ended.", &Upgrade{}, Reply{Attempt: 8, Outcome: "final"}),
		answered("upgrade-failed", "A handover that a client asked for fails.", &Upgrade{},
			Reply{Attempt: 8, Outcome: "aborted", Error: "not ready within 1m0s"}),
		answered("stop", "A client asks for a graceful end.", &Stop{}, Reply{}),
		answered("keeper-status", "A client asks a keeper how the service is.", &Status{}, Reply{Status: &kept}),
		answered("rollback", "A client asks for the build before.", &Upgrade{Rollback: true}, Reply{Attempt: 8, Outcome: "final"}),
		answered("upgrade-release", "A client asks for a build by its digest, in a directory of its own.",
			&Upgrade{Binary: "/srv/shop/1.5.0/shop", Dir: "/srv/shop/1.5.0", Digest: strings.Repeat("9f86d081", 8)}, Reply{Attempt: 8, Outcome: "final"}),
		answered("status-tls-off", "A client asks a service whose connections over TLS do not go on.", &Status{}, Reply{Status: &off}),
		answered("status-tls", "A client asks a service whose connections over TLS go on.", &Status{}, Reply{Status: &moving}),
		answered("upgrade-start", "A client asks for a build, and says how it is to be started.",
			&Upgrade{Binary: "/srv/shop/1.5.0/shop", Dir: "/srv/shop/1.5.0", Label: "shop/17", Start: &Start{
				Args: []string{"--fast"}, Env: []string{"PORT=8080"}, Limits: []string{"nofile=1024:4096"}, Dir: "/srv", Kept: true,
			}}, Reply{Attempt: 8, Outcome: "final"}),
		answered("status-start", "A client asks a keeper whether the build that serves was started so.",
			&Status{Start: &Start{Env: []string{"PORT=8081"}}}, Reply{Status: &differing}),
		answered("keeper-status-generations", "A client asks a keeper which generations live.", &Status{}, Reply{Status: &detailed}),
		{
			name: "keeper-released", about: "A generation that has failed leaves the listeners to the next one, and finishes what it has.",
			steps: []step{{"I>K", 0, &State{State: "ending", Generation: 3, PID: 4101, Connections: 12, Reason: "no luck", Released: true}, 0, nil}},
		},
		{
			name: "control-counting", about: "The offer of an incumbent that counts requests.",
			steps: []step{{"I>S", 7, &Offer{Protocol: 1, Features: []string{}, Generation: 3, PID: 4101, Build: oldBuild, Listeners: []Listener{}, Counting: true}, 1, nil}},
		},
		answered("stats", "A client asks a keeper for figures.", &Stats{}, Reply{Stats: []Figures{{
			Generation: 3, PID: 4101, State: "serving", UptimeMs: 86_400_000, Goroutines: 40, HeapBytes: 8 << 20, RSSBytes: 20 << 20, Descriptors: 330,
			Connections: Connections{New: 1, Active: 9, Idle: 297, Hijacked: 2, Other: 1},
			Requests:    &Requests{SinceMs: 60_000, Total: 1000, Errors: 3, InFlight: 9, Latency: []Bucket{{0, 10}, {17, 990}}},
		}}}),
		answered("follow", "A client asks how the handover under way ends.", &Status{Follow: true}, Reply{Attempt: 8, Outcome: "final"}),
		answered("keeper-upgrade", "A client has the keeper itself replaced.", &Upgrade{Keeper: true}, Reply{PID: 4000}),
		{name: "control-upgrade-watched", about: "A client sees a handover to a certain file, and its resume.", steps: []step{
			{"C>I", 0, &client, 1, nil},
			{"I>C", 0, &incumbentHello, 1, nil},
			{"C>I", 0, &Upgrade{Binary: "/opt/shop/shop-1.5.0", Watch: true}, 0, nil},
			{"I>C", 0, &State{State: "offering", Generation: 3, PID: 4101, Attempt: 8, Connections: 310}, 0, nil},
			{"I>C", 0, &State{State: "serving", Generation: 3, PID: 4101, Attempt: 8, Connections: 290, Reason: "exit status 2"}, 0, nil},
			{"I>C", 0, &Reply{Attempt: 8, Outcome: "resumed", Lost: 20, Error: "the successor ended after the commit: exit status 2", Code: CodeFailed}, 0, nil},
		}},
	}
}

var keeperHello = Hello{Protocol: Protocols, Features: []string{FeaturePreview}, Role: RoleKeeper, PID: 4000, Build: Build{Path: "example.com/keep"}}

// registration is how a generation has its keeper hold what it holds.
func registration(who string, generation int) []step {
	return []step{
		{who + ">K", 0, &Register{Generation: generation, Listeners: []Listener{web, dns}}, 0, nil},
		{who + ">K", 0, &Listeners{First: 0}, 2, nil},
		{"K>" + who, 0, &Ack{Next: 2}, 0, nil},
	}
}

func keeper() []transcript {
	ofSuccessor, ofKeeper := successorHello, keeperHello
	ofSuccessor.Role = RoleKeeper
	ofKeeper.Takeover = true
	ofIncumbent := incumbentHello
	ofIncumbent.Takeover = true
	successor := slices.Concat(
		[]step{
			{"S>K", 0, &ofSuccessor, 1, nil},
			{"K>S", 0, &ofKeeper, 2, nil},
			{"I>K", 0, &Upgrade{}, 0, nil},
			{"K>I", 1, &Successor{PID: 4202}, 2, nil},
			{"K>I", 1, &Vote{Verdict: VoteHold, Reason: "not checked yet"}, 0, nil},
			{"I>K", 0, &State{State: "offering", Generation: 3, PID: 4101, Attempt: 7, Connections: 310}, 0, nil},
		},
		registration("S", 4),
		[]step{
			{"K>S", 0, &Preview{Key: web.Key()}, 1, nil},
			{"K>S", 0, &Vote{Verdict: VotePass}, 0, nil},
			{"I>K", 0, &State{State: "probation", Generation: 3, PID: 4101, Attempt: 7, Connections: 308}, 0, nil},
			{"K>I", 0, &Vote{Verdict: VotePass}, 0, nil},
			{"S>K", 0, &State{State: "serving", Generation: 4, PID: 4202, Connections: 12}, 0, nil},
			{"I>K", 1, &Reply{
				Attempt: 7, Outcome: "final", Generation: 4, PID: 4202, Build: newBuild.String(), ReadyUs: 41000, SwitchUs: 1800, TotalUs: 10120000,
			}, 0, nil},
		},
	)
	refused := []step{
		{"I>K", 9, &Upgrade{}, 0, nil},
		{"K>I", 9, &Reply{Error: "the file is a text file", Code: CodeVerification}, 0, nil},
		{"K>S", 0, &Vote{Verdict: VoteFail, Reason: "GET /healthz: 503"}, 0, nil},
		{"K>I", 0, &Vote{Verdict: VoteFail, Reason: "3 of 3 checks failed"}, 0, nil},
	}
	joins := slices.Concat(
		[]step{
			{"K>I", 0, &keeperHello, 1, nil},
			{"I>K", 0, &ofIncumbent, 2, nil},
		},
		registration("I", 3),
		[]step{{"I>K", 0, &State{State: "serving", Generation: 3, PID: 4101, Connections: 310}, 0, nil}},
	)
	return []transcript{
		{name: "keeper", about: "A keeper starts a successor, has it held, checked and voted for.", steps: successor},
		{name: "keeper-refuses", about: "A keeper refuses a build, a successor, and one in probation.", steps: refused},
		{name: "keeper-joins", about: "A new keeper takes the place of a dead one.", steps: joins},
	}
}

func batches() transcript {
	many := offer
	many.Schemas = nil
	many.Listeners = nil
	for i := range 130 {
		many.Listeners = append(many.Listeners, Listener{Network: "tcp", Address: "127.0.0.1:0", Ordinal: i, Bound: fmt.Sprint("127.0.0.1:", 20000+i)})
	}
	return transcript{
		name:  "listeners-in-batches",
		about: "130 listeners: no batch is sent before the one before it is acknowledged.",
		steps: []step{
			{"S>I", 0, &successorHello, 1, nil},
			{"I>S", 7, &many, 1, nil},
			{"I>S", 7, &Listeners{First: 0}, 64, nil},
			{"S>I", 7, &Ack{Next: 64}, 0, nil},
			{"I>S", 7, &Listeners{First: 64}, 64, nil},
			{"S>I", 7, &Ack{Next: 128}, 0, nil},
			{"I>S", 7, &Listeners{First: 128}, 2, nil},
			{"S>I", 7, &Ack{Next: 130}, 0, nil},
		},
	}
}

func lostBatch() transcript {
	steps := opening()[:3]
	return transcript{
		name:  "listeners-lost",
		about: "A successor whose descriptor table is full did not get the listeners.",
		steps: append(steps,
			step{"S>I", 7, &Ack{Next: 0, Lost: true}, 0, nil},
			step{"I>S", 7, &Abort{Code: CodeFailed, Reason: "descriptors were lost", Protocol: Protocols, Build: oldBuild}, 0, nil},
		),
	}
}

func refusals() []transcript {
	tomorrow := successorHello
	tomorrow.Protocol = Range{Min: 2, Max: 3}
	unsupported := "no protocol in common: the peer speaks protocol 2 to 3 (example.com/shop v1.5.0 08bc0c6a5d9b), " +
		"this process 1 (example.com/shop v1.4.0 9fceb02d0ae5)"
	refused := func(code Code, about string, attempt uint32, hello *Hello, reason string) transcript {
		return transcript{name: "refused-" + string(code), about: about, steps: []step{
			{"S>I", 0, hello, 1, nil},
			{"I>S", attempt, &Abort{Code: code, Reason: reason, Protocol: Protocols, Build: oldBuild}, 0, nil},
		}}
	}
	return []transcript{
		refused(CodeUnsupported, "Two that know no protocol in common.", 0, &tomorrow, unsupported),
		refused(CodeBusy, "Another attempt is under way: the frame bears its number.", 7, &successorHello, "a handover is in progress"),
		refused(CodeDenied, "A successor of another user.", 0, &successorHello, "uid 1001 is not 1000"),
		refused(CodeCancelled, "An incumbent that is told to end.", 0, &successorHello, "terminated"),
	}
}

// foreign are frames of peers to come.
func foreign() []transcript {
	raw := func(direction string, h header, payload string, understood Message) step {
		return step{direction, h.attempt, understood, h.descriptors, frame(h, payload)}
	}
	reserved := frame(header{kind: KindReady, attempt: 7}, "{}")
	reserved[6] = 0xfe
	return []transcript{
		{
			name:  "foreign-ignored",
			about: "Unknown keys, features and flags are ignored; no payload is the empty object.",
			steps: []step{
				raw("S>I", header{kind: KindHello, descriptors: 1},
					`{"protocol":{"min":1,"max":9,"draft":true},"features":["carry","teleport"],"role":"successor","pid":4202,"build":{"path":"example.com/shop","os":"plan9"},"mood":[1,{"!":2}]}`,
					&Hello{Protocol: Range{1, 9}, Features: []string{FeatureCarry, "teleport"}, Role: RoleSuccessor, PID: 4202, Build: Build{Path: "example.com/shop"}}),
				raw("I>S", header{kind: KindCommit, attempt: 7}, ` { "generation" : 4 , "new!" : "!" } `, &Commit{Generation: 4}),
				raw("S>I", header{kind: KindReady, attempt: 7}, "", &Ready{}),
				raw("S>I", header{kind: KindReturn, attempt: 7}, "", &Return{}),
				{"S>I", 7, &Ready{}, 0, reserved},
				raw("I>S", header{kind: KindCommit, critical: true, attempt: 7}, `{"generation":4}`, &Commit{Generation: 4}),
				raw("I>S", header{kind: KindCarry, attempt: 7}, "\xf8\x00\x00\x00\x01\x00\x01adata", &Carry{Schema: 1, Name: "a", Data: []byte("data")}),
			},
		},
		{
			name:    "foreign-skipped",
			about:   "Kinds that are not known.",
			outcome: skipped,
			steps: []step{
				raw("I>S", header{kind: 0, attempt: 7}, "", nil),
				raw("I>S", header{kind: 999, attempt: 7, descriptors: 2}, `{"!fence":true}`, nil),
				raw("S>I", header{kind: 65535, attempt: 7, descriptors: 1}, "\x00\xff no JSON", nil),
			},
		},
		{
			name:    "foreign-refused",
			about:   "Critical kinds and critical keys that are not known.",
			outcome: refused,
			steps: []step{
				raw("I>S", header{kind: 999, critical: true, attempt: 7, descriptors: 1}, `{}`, nil),
				raw("S>I", header{kind: KindHello, descriptors: 1}, `{"protocol":{"min":1,"max":1},"!sealed":"aes","role":"successor","pid":4202}`, nil),
				raw("I>S", header{kind: KindCommit, attempt: 7}, `{"generation":4,"\u0021fence":true}`, nil),
				raw("S>I", header{kind: KindReady, attempt: 7}, `{"!":null}`, nil),
			},
		},
	}
}
