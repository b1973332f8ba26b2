package handover

import (
	"errors"
	"fmt"
	"slices"

	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/wire"
)

// happened sorts what a peer reports.
func (l *life) happened(r peer.Report) {
	mine := r.Peer == l.peer
	l.clear(r)
	switch {
	case r.Stale():
		l.log.Debug("a process that stood between this one and its peer has ended", "how", r.Why)
	case l.keeper != nil && r.Peer == l.keeper.Peer:
		l.keeper.reported(r)
	case !mine && !slices.Contains(l.drainers, r.Peer):
		peer.CloseDescriptors(r.Frame) // of a peer that was let go meanwhile
	case r.Fault != nil && mine:
		l.misunderstood(r.Frame, r.Fault)
	case r.On == peer.Spoke && mine:
		l.frame(r.Frame)
	case r.On == peer.Spoke:
		l.drainerFrame(r.Peer, r.Frame)
	case mine && r.On == peer.Died && l.state == joining && !l.offer.heard && (l.ofKeeper || l.process.door.answered()):
		l.raise(onAbort, "who was to make an offer has died, and another generation may serve")
	case mine && l.state == returning && l.returned && r.Unheard:
		// RESUMED may have come, and was not understood: the incumbent has served since, and when it dies another may have succeeded it.
		// Had it found the link broken itself, it would have killed this process.
		l.raise(onResumed, r.Why)
	case mine:
		l.peer.Unheard = l.peer.Unheard || r.Unheard
		l.raise(endings[r.On], r.Why)
	case r.On == peer.LinkEnded:
		r.Peer.Gone = true // it has nothing more to pass on
		l.unanswered(r.Peer)
	default:
		l.log.Info("draining generation is gone", "generation", r.Peer.Generation, "pid", r.Peer.Process.PID(), "how", r.Why)
		l.drop(r.Peer)
		l.unanswered(r.Peer)
	}
}

var endings = map[peer.Event]event{peer.LinkEnded: onEOF, peer.Died: onDead}

// frame handles what the peer of the handover under way says.
func (l *life) frame(f *wire.Frame) {
	switch m := f.Message.(type) {
	case *wire.Hello:
		l.greeted(f, m)
	case *wire.Ack:
		l.acknowledged(f, m)
	case *wire.Adopted:
		l.adoptedBy(f, m)
	case *wire.Ready:
		l.attempted(f, onReady)
	case *wire.Imported:
		l.attempted(f, onImported)
	case *wire.Serving:
		l.attempted(f, onServing)
	case *wire.Returned:
		l.attempted(f, onReturned)
	case *wire.Return:
		if l.state == draining {
			return // it crossed FINAL: the wish to end is the successor's own now
		}
		if l.attempt != nil {
			l.attempt.refuse(wire.CodeFailed, errors.New(m.Reason))
		}
		l.attempted(f, onReturn)
	case *wire.Pong:
		if l.attempt != nil && l.attempt.watch != nil {
			l.attempt.watch.pong(m)
		}
	case *wire.Abort:
		l.abortedBy(f, m)
	case *wire.Verdicts:
		l.follow.verdicts(m)
	case *wire.Redirect:
		if l.state == returning { // RESUMED was lost: who redirects has served since, and another does now
			l.step(onResumed, "redirected")
		}
		l.follow.redirect(f, m)
	case *wire.Upgrade:
		l.askedToUpgrade(l.peer, f)
	case *wire.Reply:
		l.repliedTo(m)
	default:
		l.successorFrame(f)
	}
}

// successorFrame handles what only an incumbent says to its successor, and generations that hold connections to each other.
func (l *life) successorFrame(f *wire.Frame) {
	switch m := f.Message.(type) {
	case *wire.Offer:
		l.offered(f, m)
	case *wire.Listeners:
		l.inherit(f, m)
	case *wire.Carry:
		l.carried(f, m)
	case *wire.Preview:
		l.preview(f, m)
	case *wire.Freeze:
		l.told(f, onFreeze, "")
	case *wire.Commit:
		if l.offer != nil {
			l.offer.generation = m.Generation
		}
		l.told(f, onCommit, "")
	case *wire.Final:
		l.finalized(f, m)
	case *wire.Resume:
		l.told(f, onResume, m.Reason)
	case *wire.Resumed:
		l.told(f, onResumed, "")
	case *wire.Ping:
		if l.state == asking {
			l.send(&wire.Return{Reason: l.unfit}) // again: not heard, it would have the handover be final
			return
		}
		l.send(&wire.Pong{Seq: m.Seq, Connections: l.process.sockets.ofClients()})
	case *wire.Conns:
		l.receive(l.peer, f, m)
	case *wire.Gone:
		peer.CloseDescriptors(f)
	default:
		l.unexpected(f)
	}
}

// drainerFrame handles what a generation says that has left.
func (l *life) drainerFrame(from *peer.Peer, f *wire.Frame) {
	from.Heard = true
	switch m := f.Message.(type) {
	case *wire.Hello:
		peer.CloseDescriptors(f)
		hello := l.process.hello(wire.RoleIncumbent)
		from.Build, from.Generation = m.Build, m.Generation
		_, from.Features, _ = wire.Negotiate(hello, *m) // without any, nothing will come
		_ = from.Link.Send(0, &hello)
	case *wire.Conns:
		l.receive(from, f, m)
	case *wire.Upgrade:
		l.askedToUpgrade(from, f)
	case *wire.Reply:
		l.repliedTo(m)
	case *wire.Gone:
		from.Gone = true
		l.log.Info("draining generation has finished", "generation", from.Generation, "pid", from.Process.PID())
	default:
		peer.CloseDescriptors(f)
	}
}

// unexpected breaks the link to a peer that said what it must not say now.
func (l *life) unexpected(f *wire.Frame) {
	peer.CloseDescriptors(f)
	l.log.Warn("unexpected frame: the link is broken", "state", l.state.String(), "frame", f.Kind().String())
	l.raise(onEOF, fmt.Sprintf("unexpected %s in state %s", f.Kind(), l.state))
}
