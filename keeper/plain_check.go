package keeper

import (
	"context"
	"net"
	"time"

	"github.com/handover-go/handover/internal/wire"
)

// inquiry asks for the health of one generation out of several that accept from the same queue. What others answer says
// nothing about it.
type inquiry struct {
	health Health
	spec   wire.Listener
	root   int   // process of the generation
	others []int // those of all others
}

// maxAtOnce is how many checks are under way at once, when fewer were all answered by others.
const maxAtOnce = 8

// firstPause is the pause before a generation that was not ready is asked again; from then on it doubles, up to the interval.
const firstPause = 20 * time.Millisecond

// ask asks until the generation has answered, or maxAtOnce checks were answered by others. err is how the generation, if it has
// answered, or else the last other, was.
func (q inquiry) ask(ctx context.Context) (answered bool, err error) {
	for n := 1; n <= maxAtOnce; n *= 2 {
		var accepted bool
		if answered, accepted, err = q.askAtOnce(ctx, n); answered || !accepted {
			break
		}
	}
	return answered, err
}

// askAtOnce asks n times. accepted reports whether anybody has taken every connection.
func (q inquiry) askAtOnce(ctx context.Context, n int) (answered, accepted bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		root int
		err  error
	}
	answers := make(chan answer, n)
	for range n {
		go func() {
			root, err := q.check(ctx)
			answers <- answer{root, err}
		}()
	}
	accepted = true
	for range n {
		switch a := <-answers; {
		case answered: // the rest is of no interest, and was cancelled
		case a.root == q.root:
			answered, err = true, a.err
			cancel()
		default:
			accepted = accepted && a.root != 0
			err = a.err
		}
	}
	return answered, accepted, err
}

// check asks once, and tells who has answered, 0 if nobody.
func (q inquiry) check(ctx context.Context) (root int, err error) {
	ctx, cancel := context.WithTimeout(ctx, q.health.Timeout)
	defer cancel()
	a, err := askAt(ctx, q.spec, append([]int{q.root}, q.others...))
	if err != nil {
		return 0, err
	}
	defer func() { _ = a.Close() }()
	p := probe{health: q.health, dial: func(context.Context) (net.Conn, error) { return a, nil }}
	err = p.check(ctx)
	return a.answerer(), err
}

// untilHealthy asks until the generation is healthy, or ctx ends. failed hears of each check that says it is not, or that was
// not answered by it.
func (q inquiry) untilHealthy(ctx context.Context, failed func(answered bool, err error)) bool {
	for pause := firstPause; ; pause = min(2*pause, q.health.Interval) {
		answered, err := q.ask(ctx)
		switch {
		case ctx.Err() != nil:
			return false
		case answered && err == nil:
			return true
		}
		failed(answered, err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return false
		}
	}
}

// untilUnhealthy asks until the generation has failed Failures checks in a row, or ctx ends, and returns the last of them.
func (q inquiry) untilUnhealthy(ctx context.Context) error {
	for failures := 0; ; {
		select {
		case <-time.After(q.health.Interval):
		case <-ctx.Done():
			return ctx.Err()
		}
		answered, err := q.ask(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !answered:
		case err == nil:
			failures = 0
		default:
			failures++
		}
		if failures >= q.health.Failures {
			return err
		}
	}
}
