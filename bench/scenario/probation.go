package scenario

import (
	"context"
	"errors"
	"time"

	"github.com/handover-go/handover/bench/measure"
	"github.com/handover-go/handover/bench/subject"
)

// Probation is what happens when a successor is killed while its incumbent stands by.
type Probation struct {
	Served []time.Duration // from the kill until a request was answered that was made after it
	Said   []time.Duration // from the kill until the incumbent logged that it serves again
	Dead   []time.Duration // from the kill until the kernel reported the death
}

// KilledInProbation kills n successors by SIGKILL, each some milliseconds after it began to serve.
func KilledInProbation(ctx context.Context, b *subject.Builds, p *Probation, n int) (err error) {
	running, err := subject.Library().Start(ctx, b)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, running.Stop()) }()
	events := follow(running)
	for range n {
		if err := p.killOnce(ctx, running, events); err != nil {
			return err
		}
	}
	return nil
}

func (p *Probation) killOnce(ctx context.Context, running *subject.Running, events <-chan event) error {
	if err := running.Trigger(ctx); err != nil {
		return err
	}
	successor, err := await(ctx, events, probation)
	if err != nil {
		return err
	}
	probe := measure.NewProbe(ctx, running.Address)
	defer probe.Stop()
	if err := measure.Pause(ctx, 20*time.Millisecond); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, eventPatience)
	defer cancel()
	dead := subject.Exit(ctx, successor.PID)
	at := time.Now()
	if err := running.Kill(successor.PID); err != nil {
		cancel()
		<-dead
		return err
	}
	died := <-dead
	answer, err := probe.After(ctx, at)
	if err != nil {
		return err
	}
	again, err := await(ctx, events, resumed)
	if err != nil {
		return err
	}
	p.Served, p.Said, p.Dead = append(p.Served, answer.At.Sub(at)), append(p.Said, again.Time.Sub(at)), append(p.Dead, died.Sub(at))
	return nil
}
