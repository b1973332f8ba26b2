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

	// retryPause is how long connections stay where they are after the receiver could not take them.
	retryPause = 250 * time.Millisecond
)

// follow moves this generation's connections to the one that serves. It owns a connection from its capture at the idle point
// until the receiver has accepted it; it belongs to the loop of life.
type follow struct {
	life   *life
	target *peer.Peer       // where they go; nil: nobody takes any
	next   *peer.Peer       // where they will go once every verdict of target has come
	queue  []*conn          // captured, to be sent
	sent   map[uint64]*conn // to target, no verdict yet
	lastID uint64
	pause  time.Time // no captures until then
	sweep  time.Time // when connections without a request are looked at again, as the service ends
	going  bool      // connections leave, or end, at all
}

// begin lets connections follow to target.
func (f *follow) begin(target *peer.Peer) {
	f.target, f.going, f.sent, f.pause = target, true, make(map[uint64]*conn), time.Time{}
	if !slices.Contains(target.Features, wire.FeatureConn) {
		f.life.process.sockets.setMode(modePart)
		return
	}
	f.life.process.sockets.setMode(modeFollow)
}

// retire ends connections at their idle point: there is nowhere to follow to.
func (f *follow) retire() {
	f.going = true
	f.life.process.sockets.setMode(modeRetire)
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
	captured, open := sockets.collect()
	f.queue = append(f.queue, captured...)
	if f.target == nil && len(f.queue) > 0 {
		f.keep(f.queue)
		f.queue = nil
		return false
	}
	if f.target != nil && !f.pause.IsZero() && !time.Now().Before(f.pause) { // without one, a capture would only come back
		f.pause = time.Time{}
		sockets.setMode(modeFollow)
	}
	for f.next == nil && len(f.queue) > 0 && len(f.sent)+wire.MaxBatch <= window && f.sendBatch() {
	}
	return open == 0 && len(f.queue) == 0 && len(f.sent) == 0
}

// sendBatch sends up to MaxBatch connections. It reports false if the target takes none now.
func (f *follow) sendBatch() bool {
	n := min(len(f.queue), wire.MaxBatch)
	batch := &wire.Conns{Conns: make([]wire.Conn, 0, n)}
	fds := make([]int, 0, n)
	ids := make([]uint64, 0, n)
	for _, c := range f.queue[:n] {
		fd, err := platform.FD(c.Conn.(syscall.Conn))
		if err != nil {
			_ = c.Conn.Close() // closed under us, as by the handler's own hand
			continue
		}
		f.lastID++
		batch.Conns = append(batch.Conns, c.describe(f.lastID))
		fds = append(fds, fd)
		ids = append(ids, f.lastID)
		f.sent[f.lastID] = c
	}
	err := f.target.Link.Send(f.life.number(), batch, fds...)
	if errors.Is(err, wire.ErrTooManyInFlight) {
		for _, id := range ids {
			delete(f.sent, id)
		}
		f.rest()
		return false
	}
	f.queue = f.queue[n:]
	if err != nil {
		// How much of it has arrived is not known: only the peer's death tells that nothing was accepted.
		f.life.log.Warn("connections cannot follow: their clients are asked to leave", "error", err)
		f.life.process.sockets.setMode(modePart)
		f.keep(f.queue)
		f.queue, f.target = nil, nil
		return false
	}
	return true
}

// verdicts are the receiver's. What it accepted is its own from now on.
func (f *follow) verdicts(m *wire.Verdicts) {
	for _, v := range m.Verdicts {
		c, ok := f.sent[v.ID]
		if !ok {
			continue
		}
		delete(f.sent, v.ID)
		switch v.Verdict {
		case wire.Accepted:
			_ = c.Conn.Close()
		case wire.Retry:
			f.keep([]*conn{c})
			f.rest()
		case wire.Refused:
			f.stay(c)
		}
	}
	if f.next != nil && len(f.sent) == 0 {
		f.turn()
	}
}

// rest leaves connections where they are for a while.
func (f *follow) rest() {
	f.pause = time.Now().Add(retryPause)
	f.life.process.sockets.setMode(modeStay)
	f.keep(f.queue)
	f.queue = nil
}

// keep goes on with connections here: they come out of their listener's Accept again.
func (f *follow) keep(conns []*conn) {
	for _, c := range conns {
		f.giveBackTo(c, false)
	}
}

// stay goes on with a connection that no other generation takes.
func (f *follow) stay(c *conn) { f.giveBackTo(c, true) }

func (f *follow) giveBackTo(c *conn, bound bool) {
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
	f.target = nil
	if f.life.keeper != nil {
		f.life.process.sockets.setMode(modeStay) // the keeper will say who serves next
	} else {
		f.life.process.sockets.setMode(modePart)
	}
	f.keep(f.queue)
	f.queue = nil
	for id, c := range f.sent {
		delete(f.sent, id)
		f.keep([]*conn{c})
	}
	if f.next != nil {
		f.turn()
	}
}

// abandoned is lost for connections that wait for the keeper's word: it has died as well.
func (f *follow) abandoned() {
	if f.going && f.target == nil && f.next == nil && f.life.state == draining {
		f.life.process.sockets.setMode(modePart)
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
	}
}

// turn makes next the target.
func (f *follow) turn() {
	l := f.life
	l.peer.Close()
	l.peer, f.next, f.target = f.next, nil, nil
	l.process.sockets.setMode(modeStay) // until the new one has answered
	l.peer.Observe(l.inbox, l.done)
	hello := l.process.hello(wire.RoleDraining)
	hello.Generation = l.generation
	l.log.Info("connections follow to another generation", "generation", l.peer.Generation, "open", l.process.sockets.count())
	l.send(&hello) // the answer says whether it takes connections, see greeted
}

// cut closes what is on its way, whatever its receiver thinks of it.
func (f *follow) cut() (n int) {
	for _, c := range f.queue {
		_ = c.Conn.Close()
		n++
	}
	for id, c := range f.sent {
		delete(f.sent, id)
		_ = c.Conn.Close()
		n++
	}
	f.queue = nil
	return n
}
