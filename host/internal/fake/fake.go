// Package fake is a service that answers at a takeover socket and nowhere else, and ends handovers as a test wants them to end.
// It speaks by package wire, as a service does.
package fake

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// Service is a fake that answers until it is closed.
type Service struct {
	name   string
	script script
	ln     *net.UnixListener
	ctx    context.Context // of conversations
	stop   context.CancelFunc
	wait   sync.WaitGroup

	mu       sync.Mutex
	upgrades []wire.Upgrade
	votes    []wire.Vote
	held     bool // a handover, by the script
	asked    int  // for its status
	living   []wire.Living
}

// script is what a fake does.
type script struct {
	hello   wire.Message // the answer to HELLO; nil: that of a service
	state   string       // that STATUS tells; empty: serving
	changes bool         // each STATUS tells of one connection more
	silent  bool         // nothing is answered but HELLO
	states  []string     // told during an upgrade
	reply   *wire.Reply  // to UPGRADE; nil: the link is closed instead
	waits   bool         // no reply to UPGRADE comes
	held    bool         // no reply to UPGRADE comes but by a VOTE
	garbage bool         // the answer to HELLO is no frame
}

// Generation, PID and Connections are what every fake says of itself. All of its pids are above the kernel's PID_MAX_LIMIT of
// 4194304, so no process has them.
const (
	Generation  = 3
	PID         = 4204101
	Connections = 310
)

var (
	begun = []string{"offering", "awaiting"}
	whole = []string{"offering", "awaiting", "freezing", "passing", "committed", "probation", "draining"}
)

var scripts = map[string]script{
	"final": {states: whole, reply: &wire.Reply{
		Attempt: 8, Outcome: "final", Generation: 4, PID: 4204711, Build: "example.com/shop v1.5.0", ReadyUs: 1_200_000, SwitchUs: 356, TotalUs: 11_400_000,
	}},
	"aborted": {states: begun, reply: &wire.Reply{
		Attempt: 8, Outcome: "aborted", Generation: 3, PID: PID, TotalUs: 51_000,
		Error: "handover aborted: the successor ended before it was ready: exit status 2", Code: wire.CodeFailed,
	}},
	"resumed": {states: whole[:6], reply: &wire.Reply{
		Attempt: 8, Outcome: "resumed", Generation: 3, PID: PID, ReadyUs: 1_200_000, SwitchUs: 356, TotalUs: 2_500_000, Lost: 20,
		Error: "successor taken back: the successor ended after the commit: exit status 2", Code: wire.CodeFailed,
	}},
	"verification": {reply: &wire.Reply{Error: "the build is for another machine", Code: wire.CodeVerification}},
	"late": {states: begun, reply: &wire.Reply{
		Attempt: 8, Outcome: "aborted", Generation: 3, PID: PID, TotalUs: 60_000_000,
		Error: "handover aborted: the successor was not ready in time", Code: wire.CodeDeadline,
	}},
	"busy":        {reply: &wire.Reply{Attempt: 8, Error: "a handover is under way: attempt 8, in state probation", Code: wire.CodeBusy}},
	"draining":    {reply: &wire.Reply{Error: "too many generations are draining", Code: wire.CodeDenied}},
	"cancelled":   {states: begun, reply: &wire.Reply{Attempt: 8, Outcome: "aborted", Error: "handover aborted: the service was told to end", Code: wire.CodeCancelled}},
	"old":         {reply: &wire.Reply{Attempt: 8, Error: "handover aborted: no code"}},
	"dies":        {states: begun},
	"waits":       {states: begun, waits: true},
	"held":        {states: whole[:6], held: true},
	"silent":      {silent: true},
	"starting":    {state: "starting"},
	"changing":    {changes: true},
	"garbage":     {garbage: true},
	"denied":      {hello: &wire.Abort{Code: wire.CodeDenied, Reason: "denied: not trusted", Protocol: wire.Protocols}},
	"unsupported": {hello: &wire.Abort{Code: wire.CodeUnsupported, Reason: "no protocol in common", Protocol: wire.Range{Min: 7, Max: 9}}},
	"future":      {hello: &wire.Hello{Protocol: wire.Range{Min: 7, Max: 9}, Role: wire.RoleIncumbent}},
}

// Start answers at the socket of the service of that name in dir, until Close, as the script of that name says.
func Start(dir, name, scriptName string) (*Service, error) {
	sc, ok := scripts[scriptName]
	if !ok {
		return nil, fmt.Errorf("there is no script %q", scriptName)
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, name+".sock"), Net: "unix"})
	if err != nil {
		return nil, err
	}
	s := &Service{name: name, script: sc, ln: ln}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.wait.Go(func() {
		for {
			conn, err := ln.AcceptUnix()
			if err != nil {
				return
			}
			s.wait.Go(func() { s.converse(conn) })
		}
	})
	return s, nil
}

// ListenAs has another process listen at the socket, and returns when it has ended: clients see its credentials from then on. It finds the socket as
// descriptor 3.
func (s *Service) ListenAs(cmd *exec.Cmd) error {
	f, err := s.ln.File()
	if err != nil {
		return err
	}
	defer f.Close()
	cmd.ExtraFiles = []*os.File{f}
	err = cmd.Run()
	return errors.Join(err, syscall.SetNonblock(int(f.Fd()), true)) // which passing it on has ended for both
}

// Close removes the socket and waits for the end of all conversations.
func (s *Service) Close() {
	s.stop()
	_ = s.ln.Close()
	s.wait.Wait()
}

// Upgrades are what was asked for until now.
func (s *Service) Upgrades() []wire.Upgrade {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]wire.Upgrade(nil), s.upgrades...)
}

// Votes are what was voted until now.
func (s *Service) Votes() []wire.Vote {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]wire.Vote(nil), s.votes...)
}

// Serves has the service's keeper tell of one generation from now on, which serves. Its process is that of the fake.
func (s *Service) Serves(g wire.Living) {
	g.PID, g.Generation, g.State = PID, Generation, "serving"
	s.mu.Lock()
	defer s.mu.Unlock()
	s.living = []wire.Living{g}
}

func (s *Service) converse(conn *net.UnixConn) {
	socket := platform.SocketFromConn(conn)
	if s.script.garbage {
		_ = socket.Send([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), nil)
	}
	link := peer.NewLink(socket)
	defer func() {
		_ = link.Close()
		link.Discard()
	}()
	defer context.AfterFunc(s.ctx, func() { _ = link.SetReceiveDeadline(time.Unix(1, 0)) })()
	for {
		f, err := link.Receive()
		if err != nil {
			return
		}
		peer.CloseDescriptors(&f)
		if err := s.answer(link, f.Message); err != nil {
			return
		}
	}
}

// errEnough ends a conversation.
var errEnough = errors.New("enough was said")

func (s *Service) answer(link *wire.Link, question wire.Message) error {
	hello, isHello := question.(*wire.Hello)
	switch {
	case isHello && s.script.hello != nil:
		return errors.Join(link.Send(0, s.script.hello), errEnough)
	case isHello && hello.Role != wire.RoleControl:
		return fmt.Errorf("role %q", hello.Role)
	case isHello:
		return link.Send(0, &wire.Hello{Protocol: wire.Protocols, Features: wire.Features(), Role: wire.RoleIncumbent, PID: PID, Generation: Generation})
	case s.script.silent:
		return nil
	}
	switch m := question.(type) {
	case *wire.Status:
		if m.Follow && s.script.state == "" {
			return s.upgrade(link, &wire.Upgrade{Watch: true})
		}
		return link.Send(0, &wire.Reply{Status: s.status()})
	case *wire.Stats:
		return link.Send(0, &wire.Reply{Stats: []wire.Figures{{Generation: Generation, PID: PID, State: "serving", Goroutines: 40}}})
	case *wire.Vote:
		return s.voted(link, m)
	case *wire.Stop:
		return link.Send(0, &wire.Reply{})
	case *wire.Upgrade:
		return s.upgrade(link, m)
	default:
		return errEnough
	}
}

func (s *Service) upgrade(link *wire.Link, m *wire.Upgrade) error {
	s.mu.Lock()
	s.upgrades, s.held = append(s.upgrades, *m), s.script.held
	s.mu.Unlock()
	for _, state := range s.script.states {
		if !m.Watch {
			break
		}
		if err := link.Send(0, &wire.State{State: state, Generation: Generation, PID: PID, Attempt: 8, Connections: Connections}); err != nil {
			return err
		}
	}
	switch {
	case s.script.waits, s.script.held:
		return nil
	case s.script.reply == nil:
		return errEnough
	default:
		return link.Send(0, s.script.reply)
	}
}

// voted ends a handover that is held, as a service does. Any other vote has crossed the reply, and is ignored.
func (s *Service) voted(link *wire.Link, m *wire.Vote) error {
	s.mu.Lock()
	s.votes = append(s.votes, *m)
	ends := s.held && m.Verdict != wire.VoteHold
	s.held = s.held && !ends
	s.mu.Unlock()
	switch {
	case !ends:
		return nil
	case m.Verdict == wire.VoteFail:
		return link.Send(0, scripts["resumed"].reply)
	default:
		return link.Send(0, scripts["final"].reply)
	}
}

func (s *Service) status() *wire.ServiceStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	state, connections := s.script.state, Connections
	if state == "" {
		state = "serving"
	}
	if s.script.changes {
		s.asked++
		connections += s.asked
	}
	return &wire.ServiceStatus{
		Service: s.name, State: state, Generation: Generation, PID: PID, Connections: connections, UptimeMs: 86_400_000,
		Build:     wire.Build{Path: "example.com/shop", Version: "v1.4.0", Revision: "9fceb02d0ae598e95dc970b74767f19372d61af8", Go: "go1.26.0"},
		Listeners: []wire.Listener{{Network: "tcp", Address: ":8080", Bound: "[::]:8080"}},
		Draining:  []wire.Drainer{{Generation: 2, PID: 4204007}},
		Keeper:    &wire.Keeping{PID: 4204000, Running: "sha256:9f86d081", Previous: "sha256:60303ae2", Restarts: 1, Last: "exit status 2", Generations: s.living},
	}
}

// Abandon makes a socket at which nobody answers, as a process leaves it that dies.
func Abandon(dir, name string) error {
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, name+".sock"), Net: "unix"})
	if err != nil {
		return err
	}
	ln.SetUnlinkOnClose(false)
	return ln.Close()
}

// Dir makes a runtime directory in parent.
func Dir(parent string) (string, error) {
	dir := filepath.Join(parent, "run")
	return dir, os.MkdirAll(dir, 0o700)
}
