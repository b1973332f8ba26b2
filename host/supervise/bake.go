package supervise

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/handover-go/handover/host/journal"
	"github.com/handover-go/handover/host/judge"
	"github.com/handover-go/handover/host/service"
)

// bake watches the build that serves now, until the time is over or the judge has seen enough. Hooks of the commit run beside it.
func (u *upgrade) bake(ctx context.Context, until time.Time) {
	s := u.s
	s.refresh(ctx)
	if u.seemsDisplaced() && u.displaced(ctx) { // before what serves no more becomes current
		return
	}
	to := u.became()
	err := u.step("baking", "", func(r *journal.Upgrade) { r.BakeUntil, r.To = until, cmp.Or(r.To, to) })
	if err == nil && u.to.ID != "" {
		err = s.releases.Activate(u.to.ID)
	}
	if err != nil {
		u.giveBack(ctx, fmt.Errorf("the release is not made current: %w", err))
		return
	}
	t := s.newTrial(u.baseline, u.to)
	u.callBeside(ctx, Committed)
	look := time.NewTicker(s.bakeInterval())
	defer look.Stop()
	for time.Now().Before(until) || u.isPaused() {
		if u.seemsDisplaced() && u.displaced(ctx) {
			return
		}
		verdict := t.look(ctx)
		u.evidence(verdict)
		if verdict.Decision == judge.Fail && ctx.Err() == nil {
			u.giveBack(ctx, errors.New(verdict.Reason))
			return
		}
		select {
		case <-look.C:
		case said := <-u.beside:
			u.write(said)
			u.beside = nil
		case w := <-u.wishes:
			u.obey(w)
			switch w.what {
			case promote:
				until = time.Now()
			case abort:
				u.giveBack(ctx, errors.New(abortedBy+w.by))
				return
			}
		case <-ctx.Done():
			return
		}
	}
	if u.displaced(ctx) {
		return
	}
	verdict := t.close()
	u.evidence(verdict)
	if verdict.Decision == judge.Fail {
		u.giveBack(ctx, errors.New(verdict.Reason))
		return
	}
	if u.to.ID != "" {
		if err := s.releases.Commit(u.to.ID); err != nil {
			s.log.Error("a release that was kept is not on record as such: an older one would be let in", "release", u.to.ID, "error", err)
		}
	}
	u.end(ctx, "kept", nil, string(verdict.Decision)+": "+verdict.Reason)
	s.prune(u.snapshot().From) // which a rollback goes to
}

// became is the build of an upgrade without releases, by its digest, as soon as it serves. Empty if somebody else's does, or none is known.
func (u *upgrade) became() string {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	if g, ok := serving(u.s.status); !ok || g.Label != u.label(false) {
		return ""
	}
	return running(u.s.status)
}

// giveBack goes back to the build before, at once: it has been judged already.
func (u *upgrade) giveBack(ctx context.Context, why error) {
	s := u.s
	if err := u.step("returning", why.Error(), func(r *journal.Upgrade) { r.Reason = why.Error() }); err != nil {
		s.log.Error("a step is not on record", "error", err)
	}
	s.log.Warn("the build is taken back", "release", u.to.ID, "to", u.from.ID, "reason", why)
	u.current = u.from.ID
	limit, cancel := context.WithTimeout(ctx, returnTimeout)
	defer cancel()
	for {
		err := u.returnOnce(limit)
		if err == nil {
			break
		}
		s.log.Warn("the way back is not open", "error", err)
		select { // a handover that is under way ends, a service that is starting starts
		case <-time.After(busyInterval):
		case <-limit.Done():
			if ctx.Err() == nil {
				u.end(ctx, "failed", fmt.Errorf("%w; and it could not be taken back: %w", why, err))
			}
			return
		}
	}
	u.end(ctx, "returned", why)
}

// returnTimeout bounds the attempts to go back: a service that cannot within that time needs a person.
const returnTimeout = 5 * time.Minute

func (u *upgrade) returnOnce(ctx context.Context) error {
	if err := u.makeCurrent(); err != nil { // what a keeper starts that is started now; the one that is there needs no disk of ours
		u.s.log.Warn("the release before is not made current", "release", u.from.ID, "error", err)
	}
	c, err := u.s.keepers.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if there, err := u.back(ctx, c); there || err != nil {
		return err
	}
	result, err := c.Upgrade(ctx, u.request(u.from, "", true), nil)
	if err == nil {
		u.update(func(r *journal.Upgrade) { r.Lost += result.Lost })
	}
	return err
}

// back reports whether the build before serves already: the agent may have ended after it had asked for that.
func (u *upgrade) back(ctx context.Context, c *service.Client) (bool, error) {
	status, err := c.Status(ctx)
	if err != nil {
		return false, err
	}
	g, ok := serving(status)
	if ok && (g.Label == u.label(false) || g.Label == u.label(true)) {
		return g.Label == u.label(true), nil
	}
	if u.from.ID == "" {
		was := u.snapshot().From
		return ok && was != "" && running(status) == was, nil
	}
	return ok && g.Dir == u.from.Dir, nil
}
