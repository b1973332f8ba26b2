package handover

import (
	"context"
	"slices"

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
	vote := func(m *wire.Vote) (denial *wire.Abort) {
		l.call(func() { denial = l.ballot(link, *m) })
		return denial
	}
	ask := func(m wire.Message) (await func() *wire.Reply) { return d.asked(l, link, m) }
	peer.Obey(d.ctx, link, ask, vote, func() { l.call(func() { l.left(link) }) })
}

// asked puts one question, and returns how to wait for the answer; nil if it is none.
func (d *door) asked(l *life, link *wire.Link, question wire.Message) (await func() *wire.Reply) {
	at := func(reply *wire.Reply) func() *wire.Reply { return func() *wire.Reply { return reply } }
	switch m := question.(type) {
	case *wire.Status:
		if m.Follow {
			stop := d.tell(l, link)
			return d.ended(d.process.follow(link), stop)
		}
		reply := &wire.Reply{}
		if !l.call(func() { reply.Status = l.status() }) {
			reply.Error, reply.Code = ErrNotReady.Error(), wire.CodeDenied
		}
		return at(reply)
	case *wire.Stats:
		var gather func() wire.Figures
		if !l.call(func() { gather = l.stats() }) {
			return at(&wire.Reply{Error: ErrNotReady.Error(), Code: wire.CodeDenied})
		}
		return func() *wire.Reply { return &wire.Reply{Stats: []wire.Figures{gather()}} }
	case *wire.Upgrade:
		if !m.Watch {
			return d.ended(d.process.ask(*m, nil), func() {})
		}
		stop := d.tell(l, link)
		return d.ended(d.process.ask(*m, link), stop)
	case *wire.Stop:
		l.happen(onStop, "asked at the takeover socket")
		return at(&wire.Reply{})
	default:
		return nil
	}
}

// ended waits for the end of a handover, and then has nobody watch any more.
func (d *door) ended(await func(context.Context) ended, stop func()) func() *wire.Reply {
	return func() *wire.Reply {
		reply := await(d.ctx).reply()
		stop()
		return reply
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
