package keeper

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/handover-go/handover/internal/wire"
)

// obeySignals turns signals, and the end of ctx, into what they ask for, until stopped.
func (k *Keeper) obeySignals(ctx context.Context) (stop func()) {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, slices.Concat(stopSignals, upgradeSignals, passedOn)...)
	over, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ended := ctx.Done()
		for {
			select {
			case s := <-signals:
				k.post(func() { k.signalled(s.(syscall.Signal)) })
			case <-ended:
				ended = nil
				k.post(func() { k.stop(onStop, context.Cause(ctx).Error()) })
			case <-over:
				return
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(over)
		<-done
	}
}

var stopSignals = []os.Signal{syscall.SIGTERM, syscall.SIGINT}

func (k *Keeper) signalled(s syscall.Signal) {
	switch {
	case slices.Contains(stopSignals, os.Signal(s)):
		k.stop(onStop, s.String())
	case slices.Contains(upgradeSignals, os.Signal(s)):
		k.upgrade(wire.Upgrade{}, caller{answer: func(r *wire.Reply) {
			if r.Outcome == "" {
				k.log.Warn("upgrade signal: no handover begins", "attempt", r.Attempt, "error", r.Error)
			}
		}})
	case k.nginx != nil && k.attempt != nil && os.Signal(s) != reopenSignal:
		k.log.Warn("signal not passed on: it would disturb the upgrade", "signal", s.String())
	case k.incumbent != nil:
		if err := k.incumbent.process.Signal(s); err != nil {
			k.log.Warn("signal not passed on", "signal", s.String(), "error", err)
		}
	}
}

// ParseSignal reads the name of a signal by which programs are told to end, with or without SIG before it.
func ParseSignal(name string) (syscall.Signal, error) {
	if s, ok := endings[strings.TrimPrefix(strings.ToUpper(name), "SIG")]; ok {
		return s, nil
	}
	return 0, fmt.Errorf("signal %q is not known: give one of %s", name, strings.Join(slices.Sorted(maps.Keys(endings)), ", "))
}
