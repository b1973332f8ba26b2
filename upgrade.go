package handover

import (
	"context"
	"errors"
	"fmt"

	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// Upgrade hands the service over to a successor that it starts, and returns when the handover is final, resumed or aborted; the
// error then wraps [ErrResumed] or [ErrAborted] and what happened. Other errors: [ErrInProgress], with the number of the
// handover under way in the Result, [ErrNotReady], [ErrTooManyDraining], [ErrNeedsKeeper], [ErrDisabled] and
// [errors.ErrUnsupported]. If ctx ends first, the handover goes on.
func (p *Process) Upgrade(ctx context.Context) (Result, error) {
	e := p.ask(wire.Upgrade{}, nil)(ctx)
	return e.result, e.err
}

// ask is Upgrade for a wish that may have come on a link, whose client votes then. It is known of when ask returns.
func (p *Process) ask(wish wire.Upgrade, voter *wire.Link) (await func(context.Context) ended) {
	return p.begun(func(told func(ended)) {
		before := p.life.attempt
		p.life.upgrade(wish, nil, told)
		if a := p.life.attempt; a != before && a != nil {
			a.callers.voter = voter
		}
	})
}

// follow asks for the end of the handover under way, or that of the last one.
func (p *Process) follow(link *wire.Link) (await func(context.Context) ended) {
	return p.begun(func(told func(ended)) {
		if a := p.life.attempt; a != nil {
			a.callers.follow(link, told)
		} else {
			told(p.life.last)
		}
	})
}

// begun has begin run in the loop, and returns how to wait for what it, or someone later, tells.
func (p *Process) begun(begin func(told func(ended))) (await func(context.Context) ended) {
	answer := make(chan ended, 1)
	if !p.life.post(func() { begin(func(e ended) { answer <- e }) }) {
		answer <- ended{err: fmt.Errorf("%w: this generation has gone", ErrNotReady), code: wire.CodeDenied}
	}
	return func(ctx context.Context) ended {
		select {
		case e := <-answer:
			return e
		case <-ctx.Done():
		}
		select {
		case e := <-answer: // both came at once
			return e
		default:
			return ended{err: ctx.Err(), code: wire.CodeCancelled}
		}
	}
}

// upgradable returns what is to be started, if it is not the service's own command, or why this process cannot start a
// successor.
func (p *Process) upgradable(wish wire.Upgrade) (command string, err error) {
	switch {
	case off():
		return "", ErrDisabled
	case platform.Supported() != nil:
		return "", platform.Supported()
	case p.pid == 1:
		return "", ErrNeedsKeeper
	case wish.Keeper:
		return "", errors.New("this service has no keeper")
	case wish.Dir != "" || wish.Digest != "" || wish.Start != nil:
		return "", errors.New("this service has no keeper, which alone knows builds by their digest and starts them in directories and manners of their own")
	case wish.Rollback && p.before == nil:
		return "", errors.New("no build before this one is known: upgrade to it with --binary")
	case wish.Rollback:
		return p.before.path(), nil
	default:
		return wish.Binary, nil
	}
}
