package handover

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// gate stands between a generation and the queue of a socket in the kernel, which other generations hold too. While it is
// open, this one takes from the queue; while it is closed, which is called parked, the queue is left to the others.
type gate struct {
	setRaw  func(time.Time) error // sets the deadline of who waits in the kernel
	refusal net.OpError           // how the gate's own errors read, but for Err

	mu       sync.Mutex
	wake     *sync.Cond   // on mu: what who waits at the gate, or for it to close, looks at has changed
	open     atomic.Bool  // set under mu
	inside   atomic.Int32 // goroutines in the kernel; they enter under mu, and leave without
	away     atomic.Int32 // those who have come out, with whatever they got, and not come back; they come back under mu
	held     int          // unless 0, the gate stays closed, whoever opens it
	wanted   bool         // it is to open when it is held no more
	passes   uint         // how often one has entered
	released bool         // for good: nothing is taken any more
	deadline time.Time    // the program's own; zero: none
	kicked   bool         // a deadline in the past stands in the kernel, in place of the program's
	kicks    uint
}

// past is a deadline that interrupts at once.
var past = time.Unix(1, 0)

func (g *gate) init(setRaw func(time.Time) error, refusal net.OpError) {
	g.setRaw, g.refusal = setRaw, refusal
	g.wake = sync.NewCond(&g.mu)
}

// through runs take, which takes one thing from the kernel's queue, with the gate open. While that is closed it waits. A
// kick ends take with os.ErrDeadlineExceeded and nothing taken, and through begins again. instead, unless nil, is asked
// first, under mu, whether there is something to take elsewhere; then take is not run.
func (g *gate) through(instead func() bool, take func() error) error {
	for {
		kicks, taken, err := g.enter(instead)
		if taken || err != nil {
			return err
		}
		err = take()
		g.away.Add(1) // ahead of leave: who sees that nobody is inside sees who is away
		if !g.leave(kicks, err) {
			return err
		}
	}
}

func (g *gate) enter(instead func() bool) (kicks uint, taken bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.backLocked()
	for {
		switch {
		case instead != nil && instead():
			return 0, true, nil
		case g.released:
			return 0, false, g.refuse(net.ErrClosed)
		case g.open.Load():
			if g.kicked {
				g.kicked = false
				if err := g.setRaw(g.deadline); err != nil {
					return 0, false, err
				}
			}
			g.inside.Add(1)
			g.passes++
			return g.kicks, false, nil
		case !g.deadline.IsZero() && !time.Now().Before(g.deadline):
			g.away.Add(1)
			return 0, false, g.refuse(os.ErrDeadlineExceeded)
		}
		g.waitLocked()
	}
}

// backLocked notes that one has come, or come back. Which it is cannot be told: one who comes for the first time while others are away
// is taken for one of them, until they are back.
func (g *gate) backLocked() {
	if g.away.Load() > 0 && g.away.Add(-1) == 0 && !g.open.Load() {
		g.wake.Broadcast()
	}
}

// leave reports whether err is the doing of a kick. It takes no lock unless it has to: park closes the gate before it looks
// at inside, so that either park sees that nobody is left, or the last sees that the gate is closed.
func (g *gate) leave(kicks uint, err error) (kicked bool) {
	if g.inside.Add(-1) == 0 && !g.open.Load() {
		g.rouse()
	}
	if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.kicks != kicks
}

// waitLocked waits until something has changed, or the program's deadline is over.
func (g *gate) waitLocked() {
	if !g.deadline.IsZero() {
		timer := time.AfterFunc(time.Until(g.deadline), g.rouse)
		defer timer.Stop()
	}
	g.wake.Wait()
}

// rouse has everyone who waits look again.
func (g *gate) rouse() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wake.Broadcast()
}

// kickLocked gets every goroutine out of the kernel and out of its wait, to look again. The deadline that does it stands
// until one enters, so that none which is on its way to the kernel misses it.
func (g *gate) kickLocked() {
	g.kicks++
	if g.inside.Load() > 0 {
		g.kicked = true
		_ = g.setRaw(past) // fails only when the socket is closed, which gets them out as well
	}
	g.wake.Broadcast()
}

// openGate lets this process take from the queue.
func (g *gate) openGate() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wanted = true
	g.openLocked()
}

func (g *gate) openLocked() {
	if g.wanted && g.held == 0 {
		g.open.Store(true)
		g.wake.Broadcast()
	}
}

// hold keeps a closed gate closed until as many calls of unhold, whoever opens it meanwhile: then it opens.
func (g *gate) hold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held++
}

func (g *gate) unhold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held--
	g.openLocked()
}

// park closes the gate and returns once no goroutine is in the kernel: from then on this process takes nothing. On error,
// ctx ended first, the gate stays closed.
func (g *gate) park(ctx context.Context) error {
	stop := context.AfterFunc(ctx, g.rouse)
	defer stop()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wanted = false
	g.open.Store(false)
	g.kickLocked()
	for g.inside.Load() > 0 && ctx.Err() == nil {
		g.wake.Wait()
	}
	if g.inside.Load() > 0 {
		return ctx.Err()
	}
	return nil
}

// quiet waits, once the gate is parked, until everyone who has come out has come back for more: what they had taken is in the hands
// of whoever they gave it to. At an open gate it does not wait.
func (g *gate) quiet(ctx context.Context) error {
	return g.await(ctx, func() bool { return g.away.Load() > 0 && !g.open.Load() && !g.released })
}

// answered is quiet at a gate that may be released: who comes back is refused there.
func (g *gate) answered(ctx context.Context) error {
	return g.await(ctx, func() bool { return g.away.Load() > 0 && !g.open.Load() })
}

// await waits as long as that is awaited, which is looked at under mu.
func (g *gate) await(ctx context.Context, awaited func() bool) error {
	stop := context.AfterFunc(ctx, g.rouse)
	defer stop()
	g.mu.Lock()
	defer g.mu.Unlock()
	for awaited() && ctx.Err() == nil {
		g.wake.Wait()
	}
	if awaited() {
		return ctx.Err()
	}
	return nil
}

// release has everyone told net.ErrClosed, but holds the socket: a generation that leaves keeps it until it has gone.
func (g *gate) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.released = true
	g.kickLocked()
}

// setDeadline sets the program's own deadline. A kick does not end it, and it holds at the gate as in the kernel.
func (g *gate) setDeadline(t time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.deadline = t
	g.wake.Broadcast()
	if g.kicked {
		return nil // set in the kernel by the next who enters
	}
	return g.setRaw(t)
}

// refuse is an error of the gate's own, as package net would give it.
func (g *gate) refuse(err error) error {
	refusal := g.refusal
	refusal.Err = err
	return &refusal
}
