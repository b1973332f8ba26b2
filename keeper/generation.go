package keeper

import (
	"context"
	"errors"
	"time"

	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// generation is a process of the service, and the link on which it and the keeper talk.
type generation struct {
	*peer.Peer
	socket   *platform.Socket // under the link
	process  peer.Process
	child    *child // nil if another keeper started it
	build    stock
	number   int
	standing wire.State // as it said last
	started  time.Time  // zero if another keeper started it
	since    time.Time  // it serves
	precious func()     // has the kernel take it no sooner than others when memory runs out; nil if that is so

	held     []holding
	incoming *registration
	answers  map[uint32]func(*wire.Reply) // to questions, by number
}

// PID is the number of its process.
func (g *generation) PID() int { return g.process.PID() }

// expend has the kernel take this generation before its incumbent, should there not be enough memory for both.
func (g *generation) expend(k *Keeper) {
	restore, err := platform.Expendable(g.PID())
	if err != nil {
		k.log.Warn("should memory run out, the kernel may end the generation that serves before its successor", "error", err)
		return
	}
	g.precious = restore
}

// keep has the kernel take it no sooner than others again.
func (g *generation) keep() {
	if g.precious != nil {
		g.precious()
		g.precious = nil
	}
}

// observe begins to hear it.
func (g *generation) observe(k *Keeper) {
	if g.Link != nil {
		g.Observe(k.inbox, k.done)
		return
	}
	k.background(context.Background(), func(ctx context.Context) {
		how, _ := g.process.Wait(ctx)
		select {
		case k.inbox <- peer.Report{Peer: g.Peer, On: peer.Died, Why: how}:
		case <-k.done:
		}
	})
}

// said handles a frame.
func (g *generation) said(k *Keeper, f *wire.Frame) {
	switch m := f.Message.(type) {
	case *wire.Hello:
		g.greet(k, m)
	case *wire.Register:
		g.dropIncoming()
		g.number, g.incoming = m.Generation, &registration{listeners: m.Listeners}
		g.registered(k)
	case *wire.Listeners:
		if g.incoming != nil {
			answer := g.incoming.take(f, m)
			if answer.Lost {
				k.log.Error("listeners cannot be held: raise this process's RLIMIT_NOFILE", "generation", g.number, "listeners", len(g.incoming.listeners))
			}
			g.send(0, answer)
			g.registered(k)
		}
	case *wire.State:
		g.stands(k, m)
	case *wire.Upgrade:
		id := f.Attempt
		k.upgrade(*m, caller{answer: func(r *wire.Reply) { g.send(id, r) }})
	case *wire.Reply:
		g.replied(k, f.Attempt, m)
	}
	peer.CloseDescriptors(f)
}

// send puts a frame on the link, and reports whether it could. Where it could not, the process has died or is about to, or too many
// descriptors are in flight, after which the link is whole.
func (g *generation) send(id uint32, m wire.Message, fds ...int) bool {
	return g.Link != nil && sent(g.Link, id, m, fds...) == nil
}

// sent puts a frame on a link. One that fails is read to its end: the other side may have died.
func sent(link *wire.Link, id uint32, m wire.Message, fds ...int) error {
	err := link.Send(id, m, fds...)
	if err != nil && !errors.Is(err, wire.ErrTooManyInFlight) {
		_ = link.Finish()
	}
	return err
}

// greet answers its HELLO, with a copy of the takeover socket, for the case that the keeper dies.
func (g *generation) greet(k *Keeper, m *wire.Hello) {
	g.Build = m.Build
	self, err := platform.SelfPidfd()
	if err != nil {
		k.log.Error("a generation cannot be greeted", "pid", g.PID(), "error", err)
		_ = g.process.Kill()
		return
	}
	defer func() { _ = self.Close() }()
	answer := k.hello(wire.RoleKeeper)
	fds := []int{self.FD()}
	if fd, err := platform.FD(k.door.listener); err == nil {
		answer.Takeover = true
		fds = append(fds, fd)
	}
	if err := sent(g.Link, 0, &answer, fds...); errors.Is(err, wire.ErrTooManyInFlight) {
		k.log.Error("a generation cannot be greeted: raise the hard RLIMIT_NOFILE of this user", "pid", g.PID(), "error", err)
		_ = g.process.Kill()
	}
}

// registered goes on when every descriptor has come: what was held before is let go, and a generation that does not serve yet
// hears whether it may.
func (g *generation) registered(k *Keeper) {
	if !g.incoming.complete() {
		return
	}
	g.letGo()
	g.held, g.incoming = g.incoming.held, nil
	if k.incumbent != g && g.standing.State != serves {
		k.admit(g)
	}
}

// The states of a generation that mean something to its keeper, in the words of the library.
const (
	serves      = "serving"
	onTrial     = "proving"   // it accepts, and its incumbent stands by
	onProbation = "probation" // it stands by while its successor serves
	drains      = "draining"  // it has left, and holds connections
)

// stands takes note of where it stands.
func (g *generation) stands(k *Keeper, m *wire.State) {
	g.standing, g.number = *m, m.Generation
	k.attempts = max(k.attempts, m.Attempt)
	if m.State == serves || m.State == onTrial { // before, the number is not settled
		k.highest = max(k.highest, m.Generation)
	}
	if a := k.attempt; a != nil {
		a.tell(m)
	}
	switch a := k.attempt; {
	case m.Released && g == k.incumbent && a == nil:
		k.released(g, m.Reason)
	case m.State == serves && g == k.incumbent && a != nil && a.await != nil:
		a.goOn(k)
	case m.State == serves:
		k.up(g)
	case m.State == onProbation && g == k.incumbent && k.attempt != nil:
		k.attempt.prove(k)
	}
}

// redirect links g, to which nobody has handed over, with the generations that drain: their connections follow to it.
func (k *Keeper) redirect(g *generation) {
	if g.Link == nil {
		return
	}
	for _, d := range k.generations {
		if d == g || d.Link == nil || d.standing.State != drains {
			continue
		}
		if err := link(d, g); err != nil {
			k.log.Warn("a draining generation keeps its connections", "generation", d.number, "error", err)
		}
	}
}

// link gives a generation that drains and the one that serves a link to each other, and the other's pidfd.
func link(draining, serving *generation) error {
	a, b, err := platform.SocketPair()
	if err != nil {
		return err
	}
	defer func() { _ = a.Close() }()
	defer func() { _ = b.Close() }()
	ends := [2]int{}
	for i, end := range []*platform.Socket{a, b} {
		if ends[i], err = platform.FD(end); err != nil {
			return err
		}
	}
	old, releaseOld, err := draining.process.Pidfd()
	if err != nil {
		return err
	}
	defer releaseOld()
	young, releaseYoung, err := serving.process.Pidfd()
	if err != nil {
		return err
	}
	defer releaseYoung()
	keys := []string{}
	for _, h := range serving.held {
		keys = append(keys, h.spec.Key())
	}
	serving.send(0, &wire.Final{Draining: []wire.Drainer{{Generation: draining.number, PID: draining.PID()}}}, ends[0], old)
	draining.send(0, &wire.Redirect{Generation: serving.number, Listeners: keys}, ends[1], young)
	return nil
}

// ask puts a question, whose answer is given in the loop.
func (g *generation) ask(k *Keeper, m wire.Message, answer func(*wire.Reply)) {
	k.requests++
	g.answers[k.requests] = answer
	if !g.send(k.requests, m) {
		g.replied(k, k.requests, &wire.Reply{Error: "the generation that serves cannot be reached", Code: wire.CodeFailed})
	}
}

func (g *generation) replied(k *Keeper, id uint32, m *wire.Reply) {
	if a := k.attempt; a != nil && a.request == id && id != 0 {
		a.told(k, m)
		return
	}
	if answer := g.answers[id]; answer != nil {
		delete(g.answers, id)
		answer(m)
	}
}

// answerAll answers what it cannot answer any more.
func (g *generation) answerAll(why string) {
	for id, answer := range g.answers {
		delete(g.answers, id)
		answer(&wire.Reply{Error: "the generation that served has ended: " + why, Code: wire.CodeFailed})
	}
}

// letGo closes what is held of it.
func (g *generation) letGo() {
	letGo(g.held)
	g.held = nil
}

func (g *generation) dropIncoming() {
	if g.incoming != nil {
		letGo(g.incoming.held)
		g.incoming = nil
	}
}

// exitCode is that of a process that has ended; where another keeper started it, nobody knows.
func (g *generation) exitCode() int {
	if g.child == nil {
		return 0
	}
	return g.child.exit.Code
}

// output is the file that it writes to, if it has one of its own that this keeper knows.
func (g *generation) output() string {
	if g.child == nil {
		return ""
	}
	return g.child.output
}

// leftWell reports whether it ended with status 0.
func (g *generation) leftWell() bool { return g.child != nil && !g.child.exit.Failed }

// close lets go of a process that has ended.
func (g *generation) close() {
	g.keep()
	g.dropIncoming()
	if g.Link == nil {
		g.process.Close()
		return
	}
	g.Close()
}
