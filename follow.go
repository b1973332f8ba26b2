package handover

import (
	"errors"
	"slices"
	"syscall"
	"time"

	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

const (
	// window is how many connections may be on their way without a verdict: enough to keep both sides busy, few enough
	// for their descriptors to be in flight under a small RLIMIT_NOFILE.
	window = 4 * wire.MaxBatch

	// luggageWindow is how many bytes of sessions are on their way without a verdict, unless a single one brings more: so much
	// enters the buffer of a unix socket at once (net.core.wmem_default is 208 KiB), and the loop of life does not wait for the
	// receiver.
	luggageWindow = 128 << 10

	// retryPause is how long connections stay where they are after the receiver could not take them.
	retryPause = 250 * time.Millisecond
)

// follow moves this generation's connections to the one that serves. It owns a connection from its capture at the idle point
// until the receiver has accepted it; it belongs to the loop of life. Who is captured was asked before, and sessions are where they let go.
type follow struct {
	life   *life
	target *peer.Peer       // where they go; nil: nobody takes any
	next   *peer.Peer       // where they will go once every verdict of target has come
	queue  []*conn          // captured, to be sent
	sent   map[uint64]*conn // to target, no verdict yet
	weight int              // of sent
	asking asker
	lastID uint64
	pause  time.Time // no captures until then
	sweep  time.Time // when connections without a request are looked at again, as the service ends
	going  bool      // connections leave, or end, at all
}

// begin lets connections follow to target.
func (f *follow) begin(target *peer.Peer) {
	f.target, f.going, f.sent, f.weight, f.pause = target, true, make(map[uint64]*conn), 0, time.Time{}
	f.life.process.sessions.anew()
	if !slices.Contains(target.Features, wire.FeatureConn) {
		f.become(modePart)
		return
	}
	f.become(modeFollow)
}

// become says what becomes of connections from now on.
func (f *follow) become(mode int32) {
	f.life.process.sockets.setMode(mode)
	f.asking.anew()
	if mode != modeFollow {
		f.life.process.sessions.stay()
	}
}

// retire ends connections at their idle point: there is nowhere to follow to.
func (f *follow) retire() {
	f.going = true
	f.become(modeRetire)
}

// pump sends what was captured, and reports whether nothing is left: no connection open, none on its way.
func (f *follow) pump() (drained bool) {
	if !f.going {
		return false
	}
	sockets := f.life.process.sockets
	if sockets.mode.Load() == modeRetire && time.Now().After(f.sweep) {
		f.sweep = time.Now().Add(time.Second)
		sockets.setMode(modeRetire)
	}
	captured := sockets.collect()
	f.queue = append(f.queue, captured...)
	f.asking.came(captured)
	if (f.target == nil || f.next != nil) && len(f.queue) > 0 {
		f.keep(f.queue)
		f.queue = nil
		return false
	}
	if f.target != nil && f.next == nil && !f.pause.IsZero() && !time.Now().Before(f.pause) { // without one, a capture would only come back
		f.pause = time.Time{}
		f.become(modeFollow)
	}
	if f.next == nil {
		for n := f.fitting(); n > 0 && f.sendBatch(n); n = f.fitting() {
		}
		if sockets.mode.Load() == modeFollow {
			f.asking.more(len(f.queue) + len(f.sent))
		}
	}
	// Counted last: what could not be sent is open here again.
	return sockets.count() == 0 && len(f.queue) == 0 && len(f.sent) == 0
}

// fitting tells how many connections of the queue may be sent now, in one frame.
func (f *follow) fitting() (n int) {
	if len(f.sent)+wire.MaxBatch > window {
		return 0
	}
	weight := f.weight
	for n < min(len(f.queue), wire.MaxBatch) {
		weight += f.queue[n].weight()
		if weight > luggageWindow && len(f.sent)+n > 0 {
			break
		}
		n++
	}
	if n == len(f.queue) && n < wire.MaxBatch && len(f.sent) > 0 {
		return 0 // more will have come when the next verdicts do, for fewer and fuller frames
	}
	return n
}

// sendBatch sends the first n connections of the queue. It reports false if the target takes none now.
func (f *follow) sendBatch(n int) bool {
	batch := &wire.Conns{Conns: make([]wire.Conn, 0, n)}
	fds := make([]int, 0, n)
	ids := make([]uint64, 0, n)
	for _, c := range f.queue[:n] {
		fd, err := platform.FD(c.Conn.(syscall.Conn))
		if err != nil {
			c.gone(nowhere) // closed under us, as by the handler's own hand
			continue
		}
		f.lastID++
		batch.Conns = append(batch.Conns, c.describe(f.lastID))
		fds = append(fds, fd)
		ids = append(ids, f.lastID)
		f.sent[f.lastID] = c
		f.weight += c.weight()
	}
	err := f.target.Link.Send(f.life.number(), batch, fds...)
	if errors.Is(err, wire.ErrTooManyInFlight) {
		for _, id := range ids {
			f.weight -= f.sent[id].weight()
			delete(f.sent, id)
		}
		f.rest()
		return false
	}
	f.queue = f.queue[n:]
	if err != nil {
		// How much of it has arrived is not known: only the peer's death tells that nothing was accepted.
		f.life.log.Warn("connections cannot follow: their clients are asked to leave", "error", err)
		f.become(modePart)
		f.keep(f.queue)
		f.queue, f.target = nil, nil
		return false
	}
	return true
}

// verdicts are the receiver's. What it accepted is its own from now on.
func (f *follow) verdicts(m *wire.Verdicts) {
	var later []*conn
	for _, v := range m.Verdicts {
		c, ok := f.sent[v.ID]
		if !ok {
			f.life.peer.Unheard = true // of which it is the verdict is not known
			continue
		}
		delete(f.sent, v.ID)
		f.weight -= c.weight()
		switch v.Verdict {
		case wire.Accepted:
			c.gone(elsewhere)
		case wire.Retry:
			later = append(later, c)
		case wire.Refused:
			f.stay(c)
		case wire.Declined:
			f.giveBackTo(c, true)
		}
	}
	if len(later) > 0 {
		f.rest()
		f.keep(later)
	}
	if f.next != nil && len(f.sent) == 0 {
		f.turn()
	}
}

// rest leaves connections where they are for a while.
func (f *follow) rest() {
	f.pause = time.Now().Add(retryPause)
	f.become(modeStay)
	f.keep(f.queue)
	f.queue = nil
}

// keep goes on with connections here: they come out of their listener's Accept again, and sessions begin again.
func (f *follow) keep(conns []*conn) {
	for _, c := range conns {
		f.giveBackTo(c, false)
	}
}

// stay goes on with a connection that no other generation takes, or, of a session, that not one of its kind is taken by the target.
func (f *follow) stay(c *conn) {
	if c.luggage != nil {
		f.life.process.sessions.refuse(c.luggage.kind)
		f.giveBackTo(c, false) // to another target it may go
		return
	}
	f.giveBackTo(c, true)
}

func (f *follow) giveBackTo(c *conn, bound bool) {
	if c.luggage != nil {
		f.life.process.sockets.watch(c)
		c.comesBack(bound)
		return
	}
	again := given(c.ln, c.Conn, c.describe(0))
	again.bound = bound
	f.life.process.sockets.watch(again)
	if !c.ln.give(again) {
		_ = again.Close()
	}
}

// lost goes on with what the target had not accepted when it died. Whoever serves after it is not known here, so without a
// keeper clients are asked, with their next answer, to find it themselves.
func (f *follow) lost() {
	doubted := 0
	f.target = nil
	if f.life.keeper != nil {
		f.become(modeStay) // the keeper will say who serves next
	} else {
		f.become(modePart)
	}
	f.keep(f.queue)
	f.queue = nil
	for id, c := range f.sent {
		delete(f.sent, id)
		if f.life.peer.Unheard {
			c.gone(nowhere)
			doubted++
			continue
		}
		f.keep([]*conn{c})
	}
	f.weight = 0
	if doubted > 0 {
		f.life.log.Warn("connections are closed: what their receiver said before it died was not understood, and may have been that it has them", "connections", doubted)
	}
	if f.next != nil {
		f.turn()
	}
}

// abandoned is lost for connections that wait for the keeper's word: it has died as well.
func (f *follow) abandoned() {
	if f.going && f.target == nil && f.next == nil && f.life.state == draining {
		f.become(modePart)
	}
}

// redirect says that another generation serves now, and how to reach it.
func (f *follow) redirect(frame *wire.Frame, m *wire.Redirect) {
	l := f.life
	if l.state != draining || len(frame.Descriptors) != 2 {
		l.unexpected(frame)
		return
	}
	p, err := peer.New(frame.Descriptors[0], frame.Descriptors[1], m.Generation)
	if err != nil {
		l.log.Warn("connections stay here", "error", err)
		return
	}
	if f.next != nil {
		f.next.Close()
	}
	f.next = p
	for _, ln := range l.process.sockets.all() {
		if !slices.Contains(m.Listeners, ln.spec.Key()) {
			_ = ln.closeSocket() // whoever serves does not listen there any more
		}
	}
	if len(f.sent) == 0 {
		f.turn()
		return
	}
	f.become(modeStay) // verdicts may be long in coming, and nothing else is to wait for them
}

// turn makes next the target.
func (f *follow) turn() {
	l := f.life
	l.peer.Close()
	l.peer, f.next, f.target = f.next, nil, nil
	f.become(modeStay) // until the new one has answered
	l.peer.Observe(l.inbox, l.done)
	hello := l.process.hello(wire.RoleDraining)
	hello.Generation = l.generation
	l.log.Info("connections follow to another generation", "generation", l.peer.Generation, "open", l.process.sockets.count())
	l.send(&hello) // the answer says whether it takes connections, see greeted
	if l.passedTo != nil {
		l.signalledUpgrade("passed on to a generation that had left") // and was not read there
	}
}

// cut closes what is on its way, whatever its receiver thinks of it.
func (f *follow) cut() (n int) {
	for _, c := range f.queue {
		c.gone(nowhere)
		n++
	}
	for id, c := range f.sent {
		delete(f.sent, id)
		c.gone(nowhere)
		n++
	}
	f.queue = nil
	return n
}
