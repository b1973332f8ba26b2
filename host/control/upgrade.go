package control

import (
	"context"
	"fmt"
	"time"

	"github.com/handover-go/handover/internal/wire"
)

// Request says what is to serve. The zero value starts the service's own command anew.
type Request struct {
	Binary   string // the file to start instead, absolute
	Rollback bool   // to the build before
	Keeper   bool   // the keeper itself is to be replaced
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
	m := &wire.Upgrade{Binary: q.Binary, Rollback: q.Rollback, Keeper: q.Keeper, Watch: watch != nil}
	if err := c.link.Send(0, m); err != nil {
		return Result{}, c.lost(err)
	}
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
			return resultOf(m)
		default:
			return Result{}, unexpected(m)
		}
	}
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
