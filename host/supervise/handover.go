package supervise

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/handover-go/handover/host/journal"
	"github.com/handover-go/handover/host/judge"
	"github.com/handover-go/handover/host/service"
)

// handOver has the keeper hand over, and judges the successor while it is on probation.
func (u *upgrade) handOver(ctx context.Context) {
	s := u.s
	u.baseline = s.takeBaseline(ctx)
	err := u.step("switching", "", func(r *journal.Upgrade) { r.To = u.to.ID })
	if err != nil {
		u.end(ctx, "failed", err)
		return
	}
	c, err := s.keepers.dial(ctx)
	if err != nil {
		u.end(ctx, "failed", err)
		return
	}
	defer c.Close()
	q := u.request(u.to, u.binary, false)
	if q.Start != nil {
		if _, err := s.differs(ctx, c, *q.Start); err != nil {
			u.end(ctx, "aborted", err)
			return
		}
	}
	result, err := u.prove(ctx, c, func(watch func(service.State)) (service.Result, error) { return c.Upgrade(ctx, q, watch) })
	u.handedOver(ctx, result, err)
}

// handedOver goes on after the keeper's word.
func (u *upgrade) handedOver(ctx context.Context, result service.Result, err error) {
	switch {
	case err == nil:
		u.update(func(r *journal.Upgrade) { r.SwitchUs, r.Lost = result.Switch.Microseconds(), result.Lost })
		u.bake(ctx, time.Now().Add(u.s.config.Bake))
	case ctx.Err() != nil: // whoever comes next asks the keeper how it went
	case errors.Is(err, service.ErrVerification):
		u.end(ctx, "refused", err)
	case errors.Is(err, service.ErrResumed):
		u.update(func(r *journal.Upgrade) { r.Lost = result.Lost })
		u.end(ctx, "resumed", err)
	default:
		u.end(ctx, "aborted", err)
	}
}

// prove watches a handover, and votes: hold from its beginning until the successor, on probation, has passed each check, and as long as it is
// paused; fail as soon as the judge says so. Hooks of the switch run beside it, and beside what follows: a final build is watched at once.
func (u *upgrade) prove(ctx context.Context, c *service.Client, handOver func(watch func(service.State)) (service.Result, error)) (service.Result, error) {
	trial, cancel := context.WithCancel(ctx)
	var voting sync.WaitGroup
	defer voting.Wait()
	defer cancel()
	var once sync.Once
	var held time.Time
	return handOver(func(state service.State) {
		u.s.look()
		if held.IsZero() { // probation may be shorter than it takes to record that it has begun, and to look
			held = u.hold(c)
		}
		if state.State != "probation" {
			return
		}
		once.Do(func() {
			if err := u.step("proving", "", nil); err != nil {
				u.s.log.Error("a step is not on record", "error", err)
			}
			voting.Go(func() { u.vote(trial, c, held) })
			u.callBeside(ctx, Switched)
		})
	})
}

// vote says what is thought of the successor, until ctx ends. held is when a hold was said last; zero: it is not held.
func (u *upgrade) vote(ctx context.Context, c *service.Client, held time.Time) {
	t := u.s.newTrial(u.baseline, u.to)
	look := time.NewTicker(proveInterval)
	defer look.Stop()
	for {
		verdict := t.look(ctx)
		u.evidence(verdict)
		hold := u.isPaused() || !t.complete()
		switch {
		case ctx.Err() != nil:
			return
		case verdict.Decision == judge.Fail:
			u.reason(verdict.Reason)
			u.say(c, "fail", verdict.Reason)
			return
		case hold && time.Since(held) > holdAgain:
			held = u.hold(c)
		case !hold && !held.IsZero():
			held = time.Time{}
			u.say(c, "pass", "")
		}
		select {
		case <-look.C:
		case w := <-u.wishes:
			switch w.what {
			case promote:
				u.say(c, "promote", "asked by "+w.by)
			case abort:
				u.reason(abortedBy + w.by)
				u.say(c, "fail", abortedBy+w.by)
			}
			u.obey(w)
		case <-ctx.Done():
			return
		}
	}
}

// hold keeps probation from ending, and returns when it was said.
func (u *upgrade) hold(c *service.Client) time.Time {
	u.say(c, "hold", "the host agent has not seen every check pass, or was told to pause")
	return time.Now()
}

func (u *upgrade) say(c *service.Client, verdict, reason string) {
	if err := c.Vote(verdict, reason); err != nil {
		u.s.log.Warn("a vote is not heard", "verdict", verdict, "error", err)
	}
}

// holdAgain is when a hold is said again, which ends by itself after the service's ready timeout.
const holdAgain = 5 * time.Second

// proveInterval is the time between two looks at a successor on probation, which lasts ten seconds by default.
const proveInterval = 500 * time.Millisecond
