package scenario

import (
	"context"
	"errors"
	"time"

	"github.com/handover-go/handover/bench/measure"
	"github.com/handover-go/handover/bench/subject"
)

// KillPatience is how long a service that was killed is waited for.
const KillPatience = 3 * time.Second

// Killed kills what serves, by SIGKILL, n times, each time in a subject that was just started: a parent may wait longer each time
// that its child dies soon. If nobody serves again, once is enough.
func Killed(ctx context.Context, b *subject.Builds, r *Result, n int) error {
	for range n {
		took, err := killOnce(ctx, b, r.Subject)
		if err != nil {
			return err
		}
		if took == 0 {
			r.Never++
			return nil
		}
		r.Restarted = append(r.Restarted, took)
	}
	return nil
}

// killOnce returns how long it took until a request was answered that was made after the kill; zero: never.
func killOnce(ctx context.Context, b *subject.Builds, s *subject.Subject) (took time.Duration, err error) {
	running, err := s.Start(ctx, b)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, running.Stop()) }()
	probe := measure.NewProbe(ctx, running.Address)
	defer probe.Stop()
	if err := measure.Pause(ctx, settle); err != nil {
		return 0, err
	}
	pids, err := running.Serving()
	if err != nil {
		return 0, err
	}
	at := time.Now()
	if err := running.Kill(pids...); err != nil {
		return 0, err
	}
	patient, cancel := context.WithTimeout(ctx, KillPatience)
	defer cancel()
	answer, err := probe.After(patient, at)
	if errors.Is(err, context.DeadlineExceeded) {
		return 0, ctx.Err()
	}
	return answer.At.Sub(at), err
}
