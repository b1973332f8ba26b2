package handover

import (
	"context"
	"slices"
	"time"

	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// converse answers one link, until it is a successor's or a keeper's, or ends.
func (d *door) converse(l *life, socket *platform.Socket) {
	stop := func() bool { return true }
	v, err := peer.Welcome(socket, d.process.hello(wire.RoleIncumbent), func(link *wire.Link) {
		stop = context.AfterFunc(d.ctx, func() { _ = link.SetReceiveDeadline(past) })
	})
	defer func() { stop() }()
	if err != nil {
		d.process.config.Logger.Debug("visitor turned away", "error", err)
		return
	}
	switch v.Hello.Role {
	case wire.RoleSuccessor:
		d.admit(l, v, func(p *peer.Peer) {
			l.upgrade(wire.Upgrade{}, &candidate{peer: p, greeted: true, deny: turnAway(v, p)}, nil)
		})
	case wire.RoleKeeper:
		d.admit(l, v, func(p *peer.Peer) { l.joinKeeper(p, turnAway(v, p)) })
	default:
		defer v.Close()
		v.Dismiss()
		answer := d.process.hello(wire.RoleIncumbent)
		if v.Link.Send(0, &answer) == nil {
			d.obey(l, v.Link)
		}
	}
}

// admit lets a process that was started by someone else take part.
func (d *door) admit(l *life, v *peer.Visitor, take func(*peer.Peer)) {
	p, err := v.Prove()
	if err != nil {
		v.Close()
		return
	}
	if !l.post(func() { take(p) }) {
		p.Close()
	}
}

// turnAway denies a process that wanted to take part.
func turnAway(v *peer.Visitor, p *peer.Peer) func(ended) {
	return func(e ended) {
		v.Deny(e.result.Attempt, e.code, e.err)
		p.Close()
	}
}

// obey answers a control client, one question after the other.
func (d *door) obey(l *life, link *wire.Link) {
	for {
		_ = link.SetReceiveDeadline(time.Now().Add(controlIdle))
		if d.ctx.Err() != nil {
			return
		}
		f, err := link.Receive()
		if err != nil {
			return
		}
		peer.CloseDescriptors(&f)
		reply := &wire.Reply{}
		switch m := f.Message.(type) {
		case *wire.Status:
			if !l.call(func() { reply.Status = l.status() }) {
				reply.Error, reply.Code = ErrNotReady.Error(), wire.CodeDenied
			}
		case *wire.Upgrade:
			stop := func() {}
			if m.Watch {
				stop = d.tell(l, link)
			}
			reply = d.process.upgrade(d.ctx, *m).reply()
			stop()
		case *wire.Stop:
			l.happen(onStop, "asked at the takeover socket")
		default:
			return
		}
		if link.Send(0, reply) != nil {
			return
		}
	}
}

// tell sends every state of the generation on the link, until stopped.
func (d *door) tell(l *life, link *wire.Link) (stop func()) {
	states, told := make(chan wire.State, 64), make(chan struct{})
	watching := watcher(states)
	go func() {
		defer close(told)
		for s := range states {
			_ = link.Send(0, &s)
		}
	}()
	l.call(func() { l.watchers = append(l.watchers, watching) })
	return func() {
		l.call(func() { l.watchers = slices.DeleteFunc(l.watchers, func(w watcher) bool { return w == watching }) })
		close(states)
		<-told
	}
}

// controlIdle is how long a control client may say nothing.
const controlIdle = time.Minute
