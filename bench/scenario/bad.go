package scenario

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/handover-go/handover/bench/measure"
	"github.com/handover-go/handover/bench/service"
	"github.com/handover-go/handover/bench/subject"
	"github.com/handover-go/handover/handovertest"
)

// BadSpan is the time after the trigger for which a bad build is watched. It outlasts ReadyTimeout, and the crash.
const BadSpan = 3500 * time.Millisecond

// Who serves after a bad build.
const (
	ServedBefore = "the build before"
	ServedAnew   = "a process started anew"
	ServedNobody = "nobody"
)

// GivenBad upgrades a subject to each bad build.
func GivenBad(ctx context.Context, b *subject.Builds, r *Result) error {
	for _, fault := range r.Subject.Faults {
		bad, err := badOnce(ctx, b, r.Subject, fault)
		if err != nil {
			return err
		}
		r.Bad[fault] = bad
	}
	return nil
}

func badOnce(ctx context.Context, b *subject.Builds, s *subject.Subject, fault service.Fault) (bad Bad, err error) {
	running, err := s.Start(ctx, b)
	if err != nil {
		return bad, err
	}
	defer func() { err = errors.Join(err, running.Stop()) }()
	load, err := handovertest.Drive(ctx, handovertest.Load{
		Address: running.Address, Clients: handovertest.Clients{KeepAlive: 4, New: 4, Idle: 2}, Pace: 20, Timeout: time.Second,
		Quiet: [2]time.Duration{500 * time.Millisecond, time.Second},
	})
	if err != nil {
		return bad, err
	}
	defer load.Stop()
	before, err := running.Serving()
	if err != nil {
		return bad, err
	}
	if err := running.Install(fault); err != nil {
		return bad, err
	}
	watched, cancel := context.WithTimeout(ctx, BadSpan)
	defer cancel()
	_ = running.Trigger(watched) // a bad build may be refused, or never answer
	<-watched.Done()
	if err := ctx.Err(); err != nil {
		return bad, err
	}
	now, err := running.Serving()
	if err != nil {
		return bad, err
	}
	bad.Served = ServedNobody
	if answers(running.Address) {
		bad.Served = ServedAnew
		if slices.ContainsFunc(now, func(pid int) bool { return slices.Contains(before, pid) }) {
			bad.Served = ServedBefore
		}
	}
	report := load.Stop()
	bad.Asked, bad.Failed, bad.Refused, bad.Closed = report.Requests, report.Failed+report.Wrong, report.Refused, report.Closed+report.ClosedPolite
	return bad, nil
}

func answers(address string) bool {
	c, err := measure.Dial(address, 500*time.Millisecond)
	if err != nil {
		return false
	}
	defer c.Close()
	return c.Ask() == nil
}
