package scenario

import (
	"context"
	"errors"
	"time"

	"github.com/handover-go/handover/bench/measure"
	"github.com/handover-go/handover/bench/subject"
)

// ProbeSpan is the time after the trigger in which the longest gap between two answers is looked for. It outlasts the
// start of a process, its switch, and handover's FINAL.
const ProbeSpan = 800 * time.Millisecond

// Probed upgrades a subject n times that nobody asks but one probe, on a new connection each time.
func Probed(ctx context.Context, b *subject.Builds, r *Result, n int) (err error) {
	running, err := r.Subject.Start(ctx, b)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, running.Stop()) }()
	var switches switches
	running.Log.Watch(switches.add)
	for range n {
		probe := measure.NewProbe(ctx, running.Address)
		began := time.Now()
		if err := measure.Pause(ctx, ProbeSpan); err != nil {
			probe.Stop()
			return err
		}
		u, err := running.Upgrade(ctx, nil)
		err = errors.Join(err, measure.Pause(ctx, time.Until(u.Began.Add(ProbeSpan))))
		answers := probe.Stop()
		if err != nil {
			return err
		}
		r.Control = append(r.Control, measure.Gap(answers, began, ProbeSpan))
		r.Gaps = append(r.Gaps, measure.Gap(answers, u.Began, ProbeSpan))
	}
	r.Switches = append(r.Switches, switches.seen()...)
	return nil
}
