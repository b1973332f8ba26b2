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

// prove watches a handover, and votes while the successor is on probation: hold until each check has passed, and as long as it is
// paused; fail as soon as the judge says so. Hooks of the switch run beside it, and beside what follows: a final build is watched at once.
func (u *upgrade) prove(ctx context.Context, c *service.Client, handOver func(watch func(service.State)) (service.Result, error)) (service.Result, error) {
	trial, cancel := context.WithCancel(ctx)
	var voting sync.WaitGroup
	defer voting.Wait()
	defer cancel()
	var once sync.Once
	return handOver(func(state service.State) {
		u.s.look()
		if state.State != "probation" {
			return
		}
		once.Do(func() {
			if err := u.step("proving", "", nil); err != nil {
				u.s.log.Error("a step is not on record", "error", err)
			}
			voting.Go(func() { u.vote(trial, c) })
			u.callBeside(ctx, Switched)
		})
	})
}

// vote says what is thought of the successor, until ctx ends.
func (u *upgrade) vote(ctx context.Context, c *service.Client) {
	say := func(verdict, reason string) {
		if err := c.Vote(verdict, reason); err != nil {
			u.s.log.Warn("a vote is not heard", "verdict", verdict, "error", err)
		}
	}
	t := u.s.newTrial(u.baseline, u.to)
	look := time.NewTicker(proveInterval)
	defer look.Stop()
	var held time.Time // when it was said last; zero: it is not held
	for {
		verdict := t.look(ctx)
		u.evidence(verdict)
		hold := u.isPaused() || !t.complete()
		switch {
		case ctx.Err() != nil:
			return
		case verdict.Decision == judge.Fail:
			u.reason(verdict.Reason)
			say("fail", verdict.Reason)
			return
		case hold && time.Since(held) > holdAgain:
			held = time.Now()
			say("hold", "the host agent has not seen every check pass, or was told to pause")
		case !hold && !held.IsZero():
			held = time.Time{}
			say("pass", "")
		}
		select {
		case <-look.C:
		case w := <-u.wishes:
			switch w.what {
			case promote:
				say("promote", "asked by "+w.by)
			case abort:
				u.reason(abortedBy + w.by)
				say("fail", abortedBy+w.by)
			}
			u.obey(w)
		case <-ctx.Done():
			return
		}
	}
}

// holdAgain is when a hold is said again, which ends by itself after the service's ready timeout.
const holdAgain = 5 * time.Second

// proveInterval is the time between two looks at a successor on probation, which lasts ten seconds by default.
const proveInterval = 500 * time.Millisecond
