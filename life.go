package handover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"

	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/wire"
)

// life runs a generation through its lifecycle. One goroutine, run, owns every field and does everything that changes
// them; others reach it through inbox (what peers report) and calls (what this process's own parts and callers want).
// Nothing in the loop waits: a frame enters a socket's buffer at once or the link is broken.
type life struct {
	process *Process
	log     *slog.Logger
	state   state
	before  state         // where the last transition came from
	raised  []raised      // events that actions brought about, handled before anything else comes in
	kept    [events]bool  // a wish to end, or a failure, for which the state had no transition
	cause   error         // why Run returns an error
	timer   deadlineTimer // of the present state

	generation int
	consumed   int          // the highest generation number given away: at every COMMIT one is
	attempts   uint32       // the number of the last handover
	attempt    *attempt     // the one under way, as the incumbent sees it
	last       ended        // how the last one ended that this generation took part in
	offer      *offer       // the one this generation came from, as the successor sees it
	peer       *peer.Peer   // the other side of the handover under way; when leaving, where connections go
	ofKeeper   bool         // a keeper started this process
	keeper     *keeper      // nil without one, and once it has died
	watchers   []watcher    // of the state
	drainers   []*peer.Peer // generations that have left and still hold connections
	follow     follow       // connections on their way out
	doubtful   []arrivals   // their sender could not be told
	emptying   int          // listeners that are being emptied, and waits for who has read a datagram
	passedTo   *peer.Peer   // who has an upgrade signal of this generation, and has not answered yet; nil: nobody
	returned   bool         // RETURNED was sent
	unfit      string       // why it asks to be taken back
	ended      bool         // a person has told this generation to end

	inbox chan peer.Report
	calls chan func()
	done  chan struct{} // closed when the life is over
}

type raised struct {
	event event
	why   string
}

func newLife(p *Process, first state) *life {
	l := &life{
		process: p, log: p.config.Logger, state: first, generation: 1, consumed: 1,
		inbox: make(chan peer.Report, 64), calls: make(chan func(), 16), done: make(chan struct{}),
	}
	l.follow.life = l
	l.follow.asking = newAsker(p)
	return l
}

// run is the loop. It returns when the generation is gone.
func (l *life) run() {
	defer close(l.done)
	defer l.timer.stop()
	defer l.process.tickets.stop()
	defer l.follow.asking.stop()
	l.arm(gone)
	for l.state != gone {
		select {
		case h := <-l.inbox:
			l.happened(h)
		case call := <-l.calls:
			call()
		case <-l.process.sockets.changed:
		case <-l.timer.ticks():
			l.tick()
		case <-l.process.tickets.due():
		case <-l.follow.asking.due():
		}
		l.settle()
		l.rotate()
	}
	l.leave()
}

// settle handles what was raised, until nothing is left to do but wait.
func (l *life) settle() {
	for {
		if len(l.raised) > 0 {
			r := l.raised[0]
			l.raised = l.raised[1:]
			l.step(r.event, r.why)
			continue
		}
		if l.state == ending && l.emptying == 0 && !l.follow.going {
			l.emptied()
			continue
		}
		if l.leaving() && l.follow.pump() && l.emptying == 0 {
			l.raise(onDrained, "")
			continue
		}
		for _, e := range []event{onStop, onFailed} {
			if _, ok := next(l.state, e); ok && l.kept[e] {
				l.kept[e] = false
				l.raise(e, "kept until now")
			}
		}
		if len(l.raised) == 0 {
			return
		}
	}
}

// raise makes e the next event.
func (l *life) raise(e event, why string) { l.raised = append(l.raised, raised{e, why}) }

// step is a transition.
func (l *life) step(e event, why string) {
	l.ended = l.ended || e == onStop
	t, ok := next(l.state, e)
	if !ok {
		if e == onStop || e == onFailed {
			l.kept[e] = true
		}
		l.log.Debug("handover event without a transition", "state", l.state.String(), "event", e.String(), "reason", why)
		return
	}
	if t.from != t.to || len(t.do) > 0 {
		l.log.Debug("handover transition", "attempt", l.number(), "from", t.from.String(), "event", e.String(),
			"to", t.to.String(), "reason", why)
	}
	l.state, l.before = t.to, t.from
	if t.from != t.to {
		l.tellState(why)
	}
	if t.to == asking {
		l.kept[e] = true // still wished for if the incumbent does not take this generation back
	}
	l.arm(t.from)
	for _, a := range t.do {
		l.act(a, e, why)
	}
}

// act does what a transition asks for.
func (l *life) act(a action, e event, why string) {
	switch a {
	case doBegin:
		l.begin()
	case doCheck:
		l.check()
	case doReady:
		l.send(&wire.Ready{})
	case doFreeze:
		l.freeze()
	case doPrecopy:
		l.precopy()
	case doCarry:
		l.send(&wire.Carry{EndOfRound: true})
	case doImported:
		l.send(&wire.Imported{})
	case doCommit:
		l.commit()
	case doServe:
		l.serve()
	case doWatch:
		l.watch()
	case doOpen:
		l.open()
	case doSucceed:
		l.succeed()
	case doThaw:
		l.thaw()
	case doAbort:
		l.abort(e, why)
	case doKill:
		l.kill(e, why)
	case doResume:
		l.resume(e, why)
	case doReturn:
		l.unfit = why
		l.send(&wire.Return{Reason: why})
	case doGiveBack:
		l.giveBack(why)
	case doReturned:
		l.returned = true
		l.send(&wire.Returned{})
	case doFollow:
		l.release()
	case doReopen:
		l.reopen()
	case doOrphan:
		l.orphan()
	case doFinal:
		l.final(why)
	case doKeep:
		l.follow.lost()
		if l.ended {
			l.follow.retire() // nobody serves, and nobody is to
			l.timer.shorten(l.process.config.StopTimeout)
		}
	case doEnd:
		l.end(why)
	case doHasten:
		l.timer.shorten(hastened)
	case doCut:
		l.cut(why)
	case doAborted:
		l.aborted(why)
	case doResumed:
		l.resumed(e, why)
	case doFail:
		l.fail(e, why)
	}
}

// misunderstood answers a peer that needs what this build does not know.
func (l *life) misunderstood(f *wire.Frame, err error) {
	peer.CloseDescriptors(f)
	switch m := f.Message.(type) { // who they come from is known by these
	case *wire.Hello:
		l.peer.Build, l.peer.Protocol = m.Build, m.Protocol
	case *wire.Offer:
		l.peer.Build, l.peer.Protocol = m.Build, wire.Range{Min: m.Protocol, Max: m.Protocol}
	}
	err = unsupported(err, l.process.build, l.peer.Build, l.peer.Protocol)
	if l.attempt != nil {
		l.attempt.refuse(wire.CodeUnsupported, err)
	} else {
		l.cause = fmt.Errorf("%w: %w", ErrAborted, err)
		l.send(&wire.Abort{Code: wire.CodeUnsupported, Reason: l.cause.Error(), Protocol: wire.Protocols, Build: l.process.build})
	}
	l.raise(onAbort, err.Error())
}

// unsupported names both sides of a misunderstanding.
func unsupported(err error, ours, theirs wire.Build, protocol wire.Range) error {
	return &wire.UnsupportedError{Reason: err.Error(), Ours: wire.Protocols, OurBuild: ours, Theirs: protocol, TheirBuild: theirs}
}

// send puts a frame on the link to the peer.
func (l *life) send(m wire.Message, fds ...int) bool { return l.sent(m, fds...) == nil }

// sent is send, and says why not. A link that fails is read to its end, which is then reported like any other: the peer may have died.
// After wire.ErrTooManyInFlight the link is whole, and what becomes of the frame is the caller's to say.
func (l *life) sent(m wire.Message, fds ...int) error {
	if l.peer == nil {
		return fmt.Errorf("send %s: %w", m.Kind(), net.ErrClosed)
	}
	err := l.peer.Link.Send(l.number(), m, fds...)
	if err != nil {
		l.log.Debug("frame not sent", "attempt", l.number(), "state", l.state.String(), "error", err)
	}
	if err != nil && !errors.Is(err, wire.ErrTooManyInFlight) {
		_ = l.peer.Link.Finish()
	}
	return withRemedy(err)
}

// number is that of the handover under way, or 0.
func (l *life) number() uint32 {
	switch {
	case l.attempt != nil:
		return l.attempt.number
	case l.offer != nil:
		return l.offer.attempt
	default:
		return 0
	}
}

// leaving reports whether this generation's connections are finished or go elsewhere.
func (l *life) leaving() bool {
	return l.state == draining || l.state == ending
}

// call runs f in the loop and waits for it. It reports false if the life is over.
func (l *life) call(f func()) bool {
	ran := make(chan struct{})
	if !l.post(func() { f(); close(ran) }) {
		return false
	}
	select {
	case <-ran:
		return true
	case <-l.done:
		return false
	}
}

// post has f run in the loop. It reports false if the life is over.
func (l *life) post(f func()) bool {
	select {
	case l.calls <- f:
		return true
	case <-l.done:
		return false
	}
}

// happen posts an event of this process's own.
func (l *life) happen(e event, why string) { l.post(func() { l.raise(e, why) }) }

// drop lets a draining generation go.
func (l *life) drop(p *peer.Peer) {
	l.drainers = slices.DeleteFunc(l.drainers, func(d *peer.Peer) bool { return d == p })
	p.Close()
}

// fail records why Run returns an error.
func (l *life) fail(e event, why string) {
	switch {
	case l.cause != nil:
	case l.before == starting:
		l.cause = fmt.Errorf("%s: %s", e, why)
	default:
		l.cause = fmt.Errorf("%w in state %s: %s: %s", ErrAborted, l.before, e, why)
	}
	l.log.Error("this process ends", "attempt", l.number(), "error", l.cause)
}

// leave ends what is left of the life: it says good-bye and closes links and sockets.
func (l *life) leave() {
	if l.peer != nil && l.follow.target == l.peer {
		l.send(&wire.Gone{})
	}
	ctx, cancel := context.WithTimeout(context.Background(), l.process.config.FreezeTimeout)
	defer cancel()
	if err := l.process.work.end(ctx); err != nil {
		l.log.Warn("background work is left behind: it ignores its context", "error", err)
	}
	for _, a := range l.process.acquaintances {
		if err := a.idle(ctx); err != nil {
			l.log.Warn("a call is left behind: it does not return", "of", a.String(), "error", err)
		}
	}
	for _, p := range append(l.drainers, l.peer) {
		if p != nil {
			p.Close()
		}
	}
	for _, came := range l.doubtful {
		came.close(l.log)
	}
	if l.keeper != nil {
		l.keeper.Close()
	}
	l.process.before.close()
	l.process.door.close()
	l.process.sockets.close()
	if l.attempt != nil {
		l.attempt.finish(Result{Outcome: Aborted}, fmt.Errorf("%w: %w", ErrAborted, ErrNotReady))
	}
}

// tick is the passing of time, every tickInterval while something has a deadline.
func (l *life) tick() {
	lost := l.timer.tick()
	if l.attempt != nil && l.attempt.watch != nil {
		l.attempt.watch.tick(lost)
	}
	if l.leaving() {
		l.follow.asking.hurry = l.timer.halfway()
		if l.timer.near() {
			l.process.expire()
		}
	}
	if !l.timer.expired() {
		return
	}
	// What the peer has sent in time may not have reached this loop yet, nor its death, which leads elsewhere than its silence.
	if l.peer != nil && (len(l.inbox) > 0 || l.peer.Link.Pending() || l.peer.Process.Ended()) && l.timer.postpone() {
		return
	}
	l.raise(onDeadline, fmt.Sprintf("nothing came within %s", l.timer.length))
}

// rotate makes a new ticket key when one is due. While a handover is under way it waits: both sides have to have the same keys
// until it is settled which of them serves, and one that drains has no say.
func (l *life) rotate() {
	if l.state != serving {
		return
	}
	rotated, err := l.process.tickets.rotate()
	switch {
	case err != nil:
		l.log.Error("rotate session ticket keys", "error", err)
	case rotated:
		l.log.Info("session ticket keys rotated", "generation", l.generation)
	}
}

// background runs f in a goroutine that the life waits for: f must return soon after ctx is done.
func (l *life) background(ctx context.Context, f func(ctx context.Context)) {
	l.process.wait.Add(1)
	go func() {
		defer l.process.wait.Done()
		f(ctx)
	}()
}
