package handover

import (
	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// receive takes connections that another generation captured, and answers before anything is read from them.
func (l *life) receive(from *peer.Peer, frame *wire.Frame, m *wire.Conns) {
	if !frame.Lost && len(frame.Descriptors) != len(m.Conns) {
		l.log.Warn("connections refused: their descriptors are not as many", "connections", len(m.Conns), "descriptors", len(frame.Descriptors))
		peer.CloseDescriptors(frame)
		frame.Descriptors = nil
	}
	answer := &wire.Verdicts{Verdicts: make([]wire.ConnVerdict, 0, len(m.Conns))}
	var accepted []*conn
	var carried []wire.Conn // what came with them
	for i, w := range m.Conns {
		v, c := l.judge(frame, i, w)
		answer.Verdicts = append(answer.Verdicts, wire.ConnVerdict{ID: w.ID, Verdict: v})
		if c != nil {
			accepted, carried = append(accepted, c), append(carried, w)
		}
	}
	if err := from.Link.Send(frame.Attempt, answer); err != nil {
		l.log.Warn("connections that came are closed unread: their sender cannot be told", "connections", len(accepted), "error", err)
		for _, c := range accepted {
			_ = c.Conn.Close()
		}
		return
	}
	for i, c := range accepted {
		l.process.sockets.watch(c)
		if w := carried[i]; w.Type == wire.ConnSession {
			l.process.sessions.receive(c, w)
		} else if !c.ln.give(c) {
			_ = c.Close()
		}
	}
}

// judge decides on the i-th connection of a batch, and takes its descriptor.
func (l *life) judge(frame *wire.Frame, i int, w wire.Conn) (wire.Verdict, *conn) {
	if i >= len(frame.Descriptors) {
		return wire.Refused, nil // lost: this process's table of descriptors is full
	}
	fd := frame.Descriptors[i]
	ln := l.process.sockets.find(w.Key)
	session := w.Type == wire.ConnSession && l.process.sessions.knows(w.Name)
	verdict := wire.Accepted
	switch {
	case !session && (ln == nil || !ln.plainHTTP || w.Type != wire.ConnHTTP1):
		verdict = wire.Refused
	case l.state == draining:
		verdict = wire.Retry // the sender is about to hear who serves now
	}
	if verdict != wire.Accepted {
		_ = platform.CloseFD(fd)
		return verdict, nil
	}
	raw, err := platform.Conn(fd)
	if err != nil {
		l.log.Warn("a connection that came cannot be taken", "error", err)
		return wire.Refused, nil
	}
	if session {
		return wire.Accepted, arrived(l.process.sockets, raw, w)
	}
	return wire.Accepted, given(ln, raw, w)
}
