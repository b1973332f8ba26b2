package handover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/takeover"
	"github.com/handover-go/handover/internal/wire"
)

// converse answers one link, until it is a successor's or ends.
func (d *door) converse(l *life, socket *platform.Socket) {
	link := peer.NewLink(socket)
	kept := false
	defer func() {
		if !kept {
			link.Discard()
			_ = link.Close()
		}
	}()
	stop := context.AfterFunc(d.ctx, func() { _ = link.SetReceiveDeadline(past) })
	defer stop()
	creds, err := takeover.Trusted(socket)
	if err != nil {
		d.deny(link, 0, wire.CodeDenied, untrusted(err))
		return
	}
	_ = link.SetReceiveDeadline(time.Now().Add(linkTimeout))
	f, err := link.Receive()
	hello, ok := f.Message.(*wire.Hello)
	if errors.Is(err, wire.ErrCritical) {
		if !ok {
			hello = &wire.Hello{Protocol: wire.Protocols}
		}
		d.deny(link, 0, wire.CodeUnsupported, unsupported(err, d.process.build, hello.Build, hello.Protocol))
		return
	}
	if err != nil || !ok {
		peer.CloseDescriptors(&f)
		return
	}
	_, features, err := wire.Negotiate(d.process.hello(wire.RoleIncumbent), *hello)
	if err != nil {
		peer.CloseDescriptors(&f)
		d.deny(link, 0, wire.CodeUnsupported, err)
		return
	}
	switch hello.Role {
	case wire.RoleSuccessor:
		p, err := newJoiner(link, &f, creds, hello, features)
		if err != nil {
			d.deny(link, 0, wire.CodeDenied, err)
			return
		}
		_ = link.SetReceiveDeadline(time.Time{})
		kept = l.post(func() { l.upgrade(wire.Upgrade{}, &candidate{peer: p, greeted: true, deny: d.turnAway(p)}, nil) })
		if !kept {
			p.Process.Close()
		}
	case wire.RoleKeeper:
		p, err := newJoiner(link, &f, creds, hello, features)
		if err != nil {
			d.deny(link, 0, wire.CodeDenied, err)
			return
		}
		_ = link.SetReceiveDeadline(time.Time{})
		kept = l.post(func() { l.joinKeeper(p, d.turnAway(p)) })
		if !kept {
			p.Process.Close()
		}
	default:
		peer.CloseDescriptors(&f)
		answer := d.process.hello(wire.RoleIncumbent)
		if link.Send(0, &answer) == nil {
			d.obey(l, link)
		}
	}
}

func (d *door) deny(link *wire.Link, attempt int, code wire.Code, err error) {
	_ = link.Send(uint32(attempt), &wire.Abort{Code: code, Reason: err.Error(), Protocol: wire.Protocols, Build: d.process.build})
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

// newJoiner takes over the link of a process that was started by someone else, and the pidfd that came with its HELLO, which
// must be of the process that the kernel names.
func newJoiner(link *wire.Link, f *wire.Frame, creds platform.Credentials, hello *wire.Hello, features []string) (*peer.Peer, error) {
	if len(f.Descriptors) != 1 {
		peer.CloseDescriptors(f)
		return nil, fmt.Errorf("%w: HELLO came without a pidfd", ErrDenied)
	}
	proof, err := platform.PidfdFromFD(f.Descriptors[0])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDenied, err)
	}
	if proof.PID() != creds.PID {
		_ = proof.Close()
		return nil, fmt.Errorf("%w: the pidfd is of process %d, the link of process %d", ErrDenied, proof.PID(), creds.PID)
	}
	if err := proof.Signalable(); err != nil {
		_ = proof.Close()
		return nil, fmt.Errorf("%w: process %d could not be fenced: %w", ErrDenied, creds.PID, err)
	}
	return &peer.Peer{Link: link, Process: peer.Stranger(proof), Build: hello.Build, Protocol: hello.Protocol, Features: features}, nil
}

// turnAway denies a process that joined.
func (d *door) turnAway(p *peer.Peer) func(ended) {
	return func(e ended) {
		d.deny(p.Link, e.result.Attempt, e.code, e.err)
		p.Close()
	}
}
