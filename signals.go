package handover

import (
	"context"
	"os"
	"os/signal"
)

// obeySignals turns signals, and the end of ctx, into what they ask for, until stopped.
func (p *Process) obeySignals(ctx context.Context) (stop func()) {
	stops := make(chan os.Signal, 2)
	if len(p.config.Signals.Stop) > 0 {
		signal.Notify(stops, p.config.Signals.Stop...)
	}
	over, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ended := ctx.Done()
		for {
			select {
			case s := <-p.upgrades:
				p.life.post(func() { p.life.signalledUpgrade(s.String()) })
			case s := <-stops:
				p.life.happen(onStop, s.String())
			case <-ended:
				ended = nil
				p.life.happen(onStop, context.Cause(ctx).Error())
			case <-over:
				return
			}
		}
	}()
	return func() {
		signal.Stop(p.upgrades)
		signal.Stop(stops)
		close(over)
		<-done
	}
}
