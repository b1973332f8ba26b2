package supervise

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/handover-go/handover/host/journal"
	"github.com/handover-go/handover/host/judge"
)

// end writes down how it ended, and tells it.
func (u *upgrade) end(ctx context.Context, state string, why error, more ...string) {
	if ctx.Err() != nil && state != "returned" && state != "kept" {
		return // the next supervisor finds out, by what there is
	}
	u.heed() // hooks of the end follow those of the commit
	u.s.refresh(ctx)
	uncurrent := u.makeCurrent()
	r := u.snapshot()
	last := journal.Step{State: state, At: time.Now(), Detail: r.Reason}
	switch {
	case why != nil && last.Detail == "":
		last.Detail = why.Error()
	case why == nil && len(more) > 0:
		last.Detail = more[0]
	}
	if uncurrent != nil {
		last.Detail += fmt.Sprintf("; and it is not on disk which release is current: %v", uncurrent)
	}
	u.update(func(r *journal.Upgrade) {
		r.State, r.Ended, r.Reason, r.Steps = state, last.At, last.Detail, append(r.Steps, last)
	})
	if err := u.s.conclude(ending{u.snapshot(), u.current}); err != nil {
		u.s.log.Error("the end of an upgrade is not on record yet", "upgrade", r.Number, "state", state, "error", err)
	}
	u.s.log.Info("the upgrade has ended", "upgrade", r.Number, "state", state, "from", r.From, "to", r.To, "reason", last.Detail)
	u.s.event("upgrade", r.Number, state)
	phase := Phase(Failed)
	switch state {
	case "kept":
		phase = Kept
	case "returned", "resumed":
		phase = Returned
	}
	_ = u.call(ctx, phase)
}

// step writes the next step down. It must not be begun if that fails.
func (u *upgrade) step(state, detail string, change func(*journal.Upgrade)) error {
	next := journal.Step{State: state, At: time.Now(), Detail: detail}
	r := u.snapshot()
	if err := u.s.journal.Step(r.Service, r.Number, next, change); err != nil {
		return err
	}
	u.update(func(r *journal.Upgrade) {
		if change != nil {
			change(r)
		}
		r.State, r.Steps = state, append(r.Steps, next)
	})
	u.s.log.Info("upgrade", "upgrade", r.Number, "state", state, "detail", detail)
	u.s.event("upgrade", r.Number, state)
	u.s.mu.Lock()
	u.s.signalLocked()
	u.s.mu.Unlock()
	return nil
}

func (u *upgrade) update(change func(*journal.Upgrade)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	change(&u.record)
}

func (u *upgrade) reason(why string) {
	u.update(func(r *journal.Upgrade) { r.Reason = why })
}

// evidence keeps what the judge has seen.
func (u *upgrade) evidence(v judge.Verdict) {
	if len(v.Evidence) == 0 {
		return
	}
	encoded, err := json.Marshal(v.Evidence)
	if err != nil {
		u.s.log.Error("evidence cannot be kept", "error", err)
		return
	}
	u.update(func(r *journal.Upgrade) { r.Evidence = encoded })
}

func (u *upgrade) snapshot() journal.Upgrade {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.record
}

// phase is the state of the service meanwhile.
func (u *upgrade) phase() string {
	switch u.snapshot().State {
	case "baking":
		return Baking
	case "returning":
		return Returning
	default:
		return Upgrading
	}
}

func (u *upgrade) isPaused() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.paused
}
