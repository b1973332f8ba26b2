package handover

import (
	"errors"
	"log/slog"
	"slices"
	"syscall"

	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// arrivals are connections that came in one batch, of which nothing was read yet.
type arrivals struct {
	from    *peer.Peer
	conns   []*conn
	carried []wire.Conn // what came with each
}

// receive takes connections that another generation captured, and answers before anything is read from them.
func (l *life) receive(from *peer.Peer, frame *wire.Frame, m *wire.Conns) {
	for _, w := range m.Conns {
		if w.ID <= from.LastConn { // taken again it would be served twice
			l.log.Warn("connections dropped: they have come before", "connections", len(m.Conns), "id", w.ID)
			peer.CloseDescriptors(frame)
			return
		}
		from.LastConn = w.ID
	}
	if !frame.Lost && len(frame.Descriptors) != len(m.Conns) {
		l.log.Warn("connections refused: their descriptors are not as many", "connections", len(m.Conns), "descriptors", len(frame.Descriptors))
		peer.CloseDescriptors(frame)
	}
	answer := &wire.Verdicts{Verdicts: make([]wire.ConnVerdict, 0, len(m.Conns))}
	came := arrivals{from: from}
	for i, w := range m.Conns {
		v, c := l.judge(frame, i, w)
		answer.Verdicts = append(answer.Verdicts, wire.ConnVerdict{ID: w.ID, Verdict: v})
		if c == nil {
			w.Forget()
			continue
		}
		came.conns, came.carried = append(came.conns, c), append(came.carried, w)
	}
	if err := from.Link.Send(frame.Attempt, answer); err != nil {
		l.log.Debug("the sender of connections cannot be told that they have come", "connections", len(came.conns), "error", err)
		l.doubtful = append(l.doubtful, came)
		return
	}
	l.take(came)
}

// take goes on with connections.
func (l *life) take(came arrivals) {
	for i, c := range came.conns {
		l.process.sockets.watch(c)
		if w := came.carried[i]; w.Type == wire.ConnSession {
			l.process.sessions.receive(c, w)
		} else if !c.ln.give(c) {
			_ = c.Close()
		}
	}
}

// clear decides on connections that came and whose sender could not be told: if it has died, nobody else has them; if it
// lives, it may.
func (l *life) clear(r peer.Report) {
	l.doubtful = slices.DeleteFunc(l.doubtful, func(came arrivals) bool {
		switch {
		case came.from != r.Peer || r.On == peer.Spoke:
			return false
		case r.On == peer.Died && l.state != draining:
			l.take(came)
		default:
			came.close(l.log)
		}
		return true
	})
}

func (a arrivals) close(log *slog.Logger) {
	log.Warn("connections that came are closed unread: their sender, which lives, cannot be told", "connections", len(a.conns))
	for i, c := range a.conns {
		_ = c.Conn.Close()
		a.carried[i].Forget()
	}
}

// judge decides on the i-th connection of a batch, and takes its descriptor.
func (l *life) judge(frame *wire.Frame, i int, w wire.Conn) (wire.Verdict, *conn) {
	switch {
	case frame.Lost:
		return wire.Retry, nil // this process's table of descriptors is full
	case i >= len(frame.Descriptors):
		return wire.Refused, nil
	}
	fd := frame.Descriptors[i]
	ln := l.process.sockets.find(w.Key)
	session, verdict := w.Type == wire.ConnSession, wire.Accepted
	var serve func(*Session) error
	switch {
	case !session && (ln == nil || !ln.plainHTTP || w.Type != wire.ConnHTTP1):
		verdict = wire.Refused
	case session:
		verdict, serve = l.process.sessions.judge(w)
	}
	if verdict == wire.Accepted && (l.state == draining || l.state == ending && l.replaced()) {
		verdict = wire.Retry // the sender is about to hear who serves now
	}
	if verdict != wire.Accepted {
		_ = platform.CloseFD(fd)
		return verdict, nil
	}
	raw, err := platform.Conn(fd)
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		return wire.Retry, nil
	}
	if err != nil {
		l.log.Warn("a connection that came cannot be taken", "error", err)
		return wire.Refused, nil
	}
	if session {
		return wire.Accepted, arrived(l.process.sockets, raw, w, serve)
	}
	return wire.Accepted, given(ln, raw, w)
}
