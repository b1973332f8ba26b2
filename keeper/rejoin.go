package keeper

import (
	"context"
	"fmt"
	"time"

	"github.com/handover-go/handover/internal/takeover"
)

// rejoinEvery is the time between two attempts to reach a generation whose link has broken, and rejoinTimeout bounds one: so long
// nobody is answered at the takeover socket, and a generation that is frozen answers no sooner than it thaws.
const (
	rejoinEvery   = time.Second
	rejoinTimeout = 500 * time.Millisecond
)

// rejoin finds the way to a generation again that lives and whose link has broken: it was frozen for longer than a frame may wait,
// or could not understand what came. It goes on as one whose keeper has died, and answers at the takeover socket once it serves;
// so the keeper asks to be let in there, as the next keeper would.
func (k *Keeper) rejoin(g *generation) {
	_ = g.Link.Finish() // so that the other side knows, if it does not yet
	path, err := takeover.Path(k.config.RuntimeDir, k.config.Name)
	if err != nil {
		k.log.Error("a generation is out of reach", "generation", g.number, "error", err)
		return
	}
	pid := g.PID()
	k.background(k.door.ctx, func(ctx context.Context) {
		again := time.NewTicker(rejoinEvery)
		defer again.Stop()
		for why := ""; !g.process.Ended(); {
			again.Reset(rejoinEvery)
			next, err := k.door.rejoin(ctx, path, pid)
			if err == nil {
				if !k.post(func() { k.reached(g, next) }) {
					next.close()
				}
				return
			}
			if err.Error() != why {
				why = err.Error()
				k.log.Debug("a generation is out of reach", "pid", pid, "error", err)
			}
			select {
			case <-again.C:
			case <-ctx.Done():
				return
			}
		}
	})
}

// rejoin asks at the takeover socket, where this keeper takes nobody in meanwhile.
func (d *door) rejoin(ctx context.Context, path string, pid int) (*generation, error) {
	d.rejoining.Lock()
	defer d.rejoining.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err // the door is closed, or about to be
	}
	d.pause()
	defer d.open()
	ctx, cancel := context.WithTimeout(ctx, rejoinTimeout)
	defer cancel()
	socket, creds, err := takeover.Dial(ctx, path)
	if err != nil {
		return nil, err
	}
	g, ln, err := join(d.keeper, socket, creds, rejoinTimeout)
	if err != nil {
		return nil, err
	}
	_ = ln.Close() // it is the same socket
	if g.PID() != pid {
		g.close()
		return nil, fmt.Errorf("process %d answered for %d", creds.PID, pid)
	}
	return g, takeover.Answer(d.listener)
}

// reached goes on with a generation by its new link.
func (k *Keeper) reached(g, next *generation) {
	for i, other := range k.generations {
		if other != g {
			continue
		}
		k.log.Info("a generation is reached again", "generation", g.number, "pid", g.PID())
		next.Process, g.Process = g.Process, next.Process // how it ends, only its parent's process tells
		next.process, next.child = g.process, g.child
		next.build, next.number, next.since, next.standing = g.build, g.number, g.since, g.standing
		next.held, g.held = g.held, nil
		g.answerAll("its link broke")
		k.generations[i] = next
		if k.incumbent == g {
			k.incumbent = next
		}
		if a := k.attempt; a != nil && a.incumbent == g {
			a.incumbent = next
		}
		g.dropIncoming()
		g.Close()
		next.observe(k)
		return
	}
	next.close() // it has died meanwhile
}
