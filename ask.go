package handover

import (
	"time"

	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/wire"
)

// signalledUpgrade is an upgrade signal. A generation that is not the incumbent passes it on to the one that is, which
// answers; nothing is ignored.
func (l *life) signalledUpgrade(signal string) {
	switch {
	case l.peer != nil && l.attempt == nil && (l.offer != nil || l.state == draining):
		// A link that is down means that its other end has died or ends: the signal is taken up when this generation serves.
		l.passedTo = l.peer
		if l.send(&wire.Upgrade{}) {
			l.log.Info("upgrade signal passed on to the generation that serves", "signal", signal, "pid", l.peer.Process.PID())
		}
	default:
		l.upgrade(wire.Upgrade{}, nil, func(e ended) {
			if e.result.Outcome == "" { // the end of one that began is logged anyway
				l.log.Warn("upgrade signal: no handover begins", "signal", signal, "attempt", e.result.Attempt, "error", e.err)
			}
		})
	}
}

// repliedTo is the answer to an upgrade signal that was passed on. If the handover became final meanwhile, and this
// generation is the incumbent now, the signal meant it.
func (l *life) repliedTo(m *wire.Reply) {
	if l.passedTo != nil && m.Error != "" && l.state == serving {
		l.passedTo = nil
		l.signalledUpgrade("passed on and come back")
		return
	}
	l.passedTo = nil
	l.log.Info("upgrade signal answered by the generation that serves", "attempt", m.Attempt, "error", m.Error)
}

// unanswered takes an upgrade signal up that was passed on to a generation which has ended.
func (l *life) unanswered(by *peer.Peer) {
	if l.passedTo != nil && l.passedTo == by {
		l.passedTo = nil
		l.signalledUpgrade("passed on to a generation that has ended")
	}
}

// askedToUpgrade is an upgrade signal that another generation passed on.
func (l *life) askedToUpgrade(from *peer.Peer, f *wire.Frame) {
	var reply *wire.Reply
	l.upgrade(wire.Upgrade{}, nil, func(e ended) { reply = e.reply() })
	if reply == nil { // it begins
		reply = &wire.Reply{Attempt: l.attempts}
	}
	if err := from.Link.Send(f.Attempt, reply); err != nil {
		l.log.Debug("upgrade answer not sent", "error", err)
	}
}

// status is how the service is, as this generation sees it.
func (l *life) status() *wire.ServiceStatus {
	s := &wire.ServiceStatus{
		Service: l.process.config.Name, State: l.state.String(), Generation: l.generation, PID: l.process.pid, Build: l.process.build,
		Attempt: l.number(), Connections: l.process.sockets.count(), UptimeMs: time.Since(l.process.started).Milliseconds(),
	}
	if figures := l.process.liveTLS.Load(); figures != nil {
		f := (*figures)()
		s.TLS = &wire.TLS{Off: f.Off, Left: f.Left, Came: f.Came, Stayed: f.Stayed}
	}
	for _, ln := range l.process.sockets.all() {
		s.Listeners = append(s.Listeners, ln.spec)
	}
	for _, d := range l.drainers {
		s.Draining = append(s.Draining, wire.Drainer{Generation: d.Generation, PID: d.Process.PID()})
	}
	return s
}
