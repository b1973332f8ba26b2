package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// answerTimeout bounds the wait for what a service answers at once. One that takes longer is stopped or hangs.
const answerTimeout = 10 * time.Second

// Status is how a service is, State where one of its generations stands, and Stats what that costs and does.
type (
	Status = wire.ServiceStatus
	State  = wire.State
	Stats  = wire.Figures
	Start  = wire.Start // how a build is started; its environment may have secrets
)

// Client is a conversation with a service. It asks one question at a time; after an error that is not a *Refusal it is of no
// further use. It belongs to one goroutine, but for Vote.
type Client struct {
	name  string
	pid   int
	hello wire.Hello
	link  *wire.Link
	proof *platform.Pidfd // of the process that answers; nil if it cannot be had
}

// Dial begins a conversation with the service of that name; if name is empty, with the only one in the runtime directory.
// runtimeDir may be empty (RuntimeDir says what holds then). The caller closes the client.
//
// Errors: ErrNoService, *AmbiguousError, ErrNobody, ErrDenied, ErrDeadline, ErrLost, *Refusal.
func Dial(ctx context.Context, runtimeDir, name string) (*Client, error) {
	dir, err := openDirectory(runtimeDir)
	if errors.Is(err, fs.ErrNotExist) {
		absent := ErrNobody
		if name == "" {
			absent = ErrNoService
		}
		return nil, fmt.Errorf("%w: %w", absent, err)
	}
	if err == nil && name == "" {
		name, err = dir.only()
	}
	if err != nil {
		return nil, err
	}
	path, err := SocketPath(dir.path, name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	c, err := connect(ctx, path, dir.owner)
	if err != nil {
		return nil, fmt.Errorf("reach service %q: %w", name, err)
	}
	c.name = name
	if err := c.greet(ctx); err != nil {
		c.Close()
		return nil, fmt.Errorf("greet service %q: %w", name, err)
	}
	return c, nil
}

// connect connects to the socket at path, if the process there is of the user whose directory it is; in this user's own, root may answer too. Whoever
// else owns the directory decides what lies there: a process of root that answered in a user's would have been put there by that user, to be
// asked for what was meant for his own.
func connect(ctx context.Context, path string, owner int) (*Client, error) {
	conn, err := platform.DialSocket(ctx, path)
	switch {
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w: %w", ErrNobody, err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, platform.ErrNotSocket):
		return nil, fmt.Errorf("%w: %w", ErrDenied, err)
	case err != nil:
		return nil, err
	}
	socket := platform.SocketFromConn(conn)
	creds, err := platform.PeerCredentials(socket)
	if err == nil && creds.UID != owner && (creds.UID != 0 || owner != os.Geteuid()) {
		err = fmt.Errorf("%w: the process that answers is of user %d, its directory of user %d", ErrDenied, creds.UID, owner)
	}
	if err != nil {
		_ = socket.Close()
		return nil, err
	}
	c := &Client{pid: creds.PID, link: peer.NewLink(socket)}
	// In another PID namespace it has no number here: then its death is not seen, and nothing else is lost.
	if proof, err := platform.OpenPidfd(creds.PID); err == nil {
		c.proof = proof
	}
	return c, nil
}

// greet says HELLO and learns who answers.
func (c *Client) greet(ctx context.Context) error {
	self, err := platform.SelfPidfd()
	if err != nil {
		return err
	}
	defer func() { _ = self.Close() }()
	ours := wire.Hello{Protocol: wire.Protocols, Features: []string{}, Role: wire.RoleControl, PID: os.Getpid(), Build: ownBuild()}
	if err := c.link.Send(0, &ours, self.FD()); err != nil {
		return c.lost(err)
	}
	m, err := c.receive(ctx)
	if err != nil {
		return err
	}
	theirs, ok := m.(*wire.Hello)
	if !ok {
		return unexpected(m)
	}
	if _, _, err := wire.Negotiate(ours, *theirs); err != nil {
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	c.hello = *theirs
	return nil
}

// Name of the service.
func (c *Client) Name() string { return c.name }

// PID of the process that answers, as the kernel has it: the generation that serves, or the keeper. 0 if it is in a PID
// namespace that cannot be seen from here.
func (c *Client) PID() int { return c.pid }

// Status is how the service is, as the process that answers sees it.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	r, err := c.ask(ctx, &wire.Status{})
	if err != nil {
		return nil, fmt.Errorf("ask service %q for its status: %w", c.name, err)
	}
	if r.Status == nil {
		return nil, fmt.Errorf("ask service %q for its status: the answer has none", c.name)
	}
	return r.Status, nil
}

// Differs asks the service's keeper what of start is other than for the build that serves: args, limits, dir, and env with the name of a
// variable. known is false where nobody can say: there is no keeper, or one of an older build, which does not know of Start.
func (c *Client) Differs(ctx context.Context, start Start) (differs []string, known bool, err error) {
	r, err := c.ask(ctx, &wire.Status{Start: &start})
	switch {
	case err != nil:
		return nil, false, fmt.Errorf("ask the keeper of service %q how it was started: %w", c.name, err)
	case r.Status == nil || r.Status.Keeper == nil:
		return nil, false, nil
	}
	k := r.Status.Keeper
	return k.Differs, k.Differs != nil, nil
}

// Stats are the figures of each generation that answers, by their numbers: a generation is alive whose figures come. Requests are
// counted from the first question on. A service that does not embed handover has none, and one that is older does not answer.
func (c *Client) Stats(ctx context.Context) ([]Stats, error) {
	r, err := c.ask(ctx, &wire.Stats{})
	if err != nil {
		return nil, fmt.Errorf("ask service %q for its figures: %w", c.name, err)
	}
	return r.Stats, nil
}

// Stop asks for a graceful end, and returns when the service has heard it. Wait tells when it has ended.
func (c *Client) Stop(ctx context.Context) error {
	if _, err := c.ask(ctx, &wire.Stop{}); err != nil {
		return fmt.Errorf("ask service %q to end: %w", c.name, err)
	}
	return nil
}

// Wait returns nil when the process that answers has ended, or an error that wraps ErrDeadline or context.Canceled.
func (c *Client) Wait(ctx context.Context) error {
	if c.proof == nil {
		return fmt.Errorf("%w: the process of service %q is in another PID namespace, its end is not seen from here", ErrUnsupported, c.name)
	}
	if err := c.proof.Wait(ctx); err != nil {
		return fmt.Errorf("wait for the end of service %q: %w", c.name, inTime(err))
	}
	return nil
}

// Close ends the conversation. A handover that was asked for goes on.
func (c *Client) Close() {
	_ = c.link.Close()
	c.link.Discard()
	if c.proof != nil {
		_ = c.proof.Close()
	}
}

// ask puts a question that is answered at once.
func (c *Client) ask(ctx context.Context, question wire.Message) (*wire.Reply, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if err := c.link.Send(0, question); err != nil {
		return nil, c.lost(err)
	}
	m, err := c.receive(ctx)
	if err != nil {
		return nil, err
	}
	r, ok := m.(*wire.Reply)
	if !ok {
		return nil, unexpected(m)
	}
	if r.Error != "" {
		return r, &Refusal{Code: r.Code, Outcome: r.Outcome, Attempt: r.Attempt, Reason: r.Error}
	}
	return r, nil
}

// receive waits for the next message until ctx ends. ABORT is an error.
func (c *Client) receive(ctx context.Context) (wire.Message, error) {
	stop := context.AfterFunc(ctx, func() { _ = c.link.SetReceiveDeadline(time.Unix(1, 0)) })
	f, err := c.link.Receive()
	stop()
	peer.CloseDescriptors(&f)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, inTime(ctx.Err())
	case errors.Is(err, wire.ErrCritical):
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	case err != nil:
		return nil, c.lost(err)
	}
	if m, ok := f.Message.(*wire.Abort); ok {
		return nil, &Refusal{Code: m.Code, Attempt: f.Attempt, Reason: m.Reason}
	}
	return f.Message, nil
}

// lost says what became of the other side.
func (c *Client) lost(err error) error {
	if c.proof != nil && c.proof.Dead() {
		return fmt.Errorf("%w: process %d has ended: %w", ErrLost, c.pid, err)
	}
	return fmt.Errorf("%w: process %d: %w", ErrLost, c.pid, err)
}

// inTime says in this package's words that a context's time is over.
func inTime(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", ErrDeadline, err)
	}
	return err
}

func unexpected(m wire.Message) error {
	return fmt.Errorf("%w: %s came, which is no answer", ErrUnsupported, m.Kind())
}

// ownBuild names this program to the service.
func ownBuild() wire.Build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return wire.Build{}
	}
	return wire.Build{Path: info.Path, Version: info.Main.Version, Go: info.GoVersion}
}
