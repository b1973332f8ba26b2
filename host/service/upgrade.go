package service

import (
	"context"
	"fmt"
	"time"

	"github.com/handover-go/handover/internal/wire"
)

// Request says what is to serve. The zero value starts the service's own command anew.
type Request struct {
	Binary   string // the file to start instead, absolute
	Dir      string // to start it in, absolute, whenever this build is started; empty: the keeper's default
	Digest   string // SHA-256 of the file, 64 lower-case hexadecimal digits: nothing is to happen if this build serves in Dir already, and another is refused
	Rollback bool   // to the build before
	Keeper   bool   // the keeper itself is to be replaced
	Label    string // that Status tells of every process that is started by this
	Start    *Start // how it is to be started, whenever it is; nil: as the build that serves was
}

// Result tells how a handover went.
type Result struct {
	Attempt    uint32
	Outcome    string // final, aborted or resumed; empty if none began
	Generation int    // that serves now
	PID        int    // its process
	Build      string // of the successor, as it named itself; empty if it never spoke
	// Ready is the time from the start of the successor until it was ready, Switch from the incumbent's last accept until the
	// successor accepted, Total until the outcome. Zero where it did not come to that.
	Ready, Switch, Total time.Duration
	Lost                 int // connections that a successor that died after the commit had
}

// Upgrade has the service hand over, and returns when that is final, or a *Refusal that says why not; the Result is valid then
// too. watch, if it is not nil, is called with every state that the generation that hands over enters; older builds tell none.
// If ctx ends first, the error wraps ErrDeadline or context.Canceled, and the handover goes on.
func (c *Client) Upgrade(ctx context.Context, q Request, watch func(State)) (Result, error) {
	r, err := c.upgrade(ctx, q, watch)
	if err != nil {
		err = fmt.Errorf("upgrade service %q: %w", c.name, err)
	}
	return r, err
}

func (c *Client) upgrade(ctx context.Context, q Request, watch func(State)) (Result, error) {
	m := &wire.Upgrade{Binary: q.Binary, Dir: q.Dir, Digest: q.Digest, Rollback: q.Rollback, Keeper: q.Keeper, Watch: watch != nil, Label: q.Label, Start: q.Start}
	if err := c.link.Send(0, m); err != nil {
		return Result{}, c.lost(err)
	}
	return c.outcome(ctx, watch)
}

// outcome waits for the end of a handover.
func (c *Client) outcome(ctx context.Context, watch func(State)) (Result, error) {
	for {
		m, err := c.receive(ctx)
		if err != nil {
			return Result{}, err
		}
		switch m := m.(type) {
		case *wire.State:
			if watch != nil {
				watch(*m)
			}
		case *wire.Reply:
			if m.Status != nil {
				return Result{}, fmt.Errorf("%w: the service tells its status alone", ErrUnsupported)
			}
			return resultOf(m)
		default:
			return Result{}, unexpected(m)
		}
	}
}

// Follow waits for the end of the handover that is under way, or tells how the last one ended, in the manner of Upgrade; where nobody knows
// of any, the Result has no outcome. watch may be nil.
func (c *Client) Follow(ctx context.Context, watch func(State)) (Result, error) {
	r, err := c.follow(ctx, watch)
	if err != nil {
		err = fmt.Errorf("follow the handover of service %q: %w", c.name, err)
	}
	return r, err
}

func (c *Client) follow(ctx context.Context, watch func(State)) (Result, error) {
	if err := c.link.Send(0, &wire.Status{Follow: true}); err != nil {
		return Result{}, c.lost(err)
	}
	return c.outcome(ctx, watch)
}

// Vote says what is to become of the successor, while Upgrade with a watch, or Follow, waits in another goroutine: wire.VoteHold keeps
// probation from ending, wire.VotePass takes that back, wire.VoteFail takes the successor back, and wire.VotePromote ends probation
// at once, if nothing else speaks against it. reason is for people. A hold is to be said again within the service's ready timeout, and ends with
// this conversation. A vote that comes too late is ignored; one that is denied, as another client votes, ends the wait with a *Refusal.
func (c *Client) Vote(verdict, reason string) error {
	if !wire.KnownVerdict(verdict) {
		return fmt.Errorf("vote on service %q: %w: verdict %q", c.name, ErrUnsupported, verdict)
	}
	if err := c.link.Send(0, &wire.Vote{Verdict: verdict, Reason: reason}); err != nil {
		return fmt.Errorf("vote on service %q: %w", c.name, c.lost(err))
	}
	return nil
}

func resultOf(r *wire.Reply) (Result, error) {
	result := Result{
		Attempt: r.Attempt, Outcome: r.Outcome, Generation: r.Generation, PID: r.PID, Build: r.Build, Lost: r.Lost,
		Ready: micro(r.ReadyUs), Switch: micro(r.SwitchUs), Total: micro(r.TotalUs),
	}
	if r.Error != "" || outcomes[r.Outcome] != nil {
		return result, &Refusal{Code: r.Code, Outcome: r.Outcome, Attempt: r.Attempt, Reason: r.Error}
	}
	return result, nil
}

func micro(us int64) time.Duration { return time.Duration(us) * time.Microsecond }
