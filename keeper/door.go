package keeper

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/handover-go/handover/internal/accept"
	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/takeover"
	"github.com/handover-go/handover/internal/wire"
)

// door is the takeover socket, at which the keeper answers.
type door struct {
	keeper   *Keeper
	listener *net.UnixListener
	joined   *generation // that served without a keeper when this one came; nil if there was none
	wait     sync.WaitGroup
	ctx      context.Context // of conversations
	stop     context.CancelFunc

	interrupt context.CancelFunc // has nobody wait until it can accept again
	accepting chan struct{}      // closed when nobody is taken in any more
	rejoining sync.Mutex         // held while nobody is, for the sake of a generation that is to answer here
}

// openDoor binds the takeover socket. If generations of the service live, whose keeper has died, it takes the socket over from
// the incumbent; if a program before this one kept the service, from that.
func openDoor(ctx context.Context, k *Keeper, before *saved) (d *door, err error) {
	d = &door{keeper: k}
	d.ctx, d.stop = context.WithCancel(context.Background())
	if before != nil {
		_ = platform.Disinherit(before.Takeover)
		if d.listener, err = takeover.Adopt(before.Takeover); err != nil {
			return nil, fmt.Errorf("go on at the takeover socket: %w", err)
		}
		return d, nil
	}
	path, err := takeover.Path(k.config.RuntimeDir, k.config.Name)
	if err != nil {
		return nil, err
	}
	socket, creds, err := takeover.Dial(ctx, path)
	switch {
	case err == nil:
		if d.joined, d.listener, err = join(k, socket, creds, answerTimeout); err == nil {
			err = takeover.Answer(d.listener)
		}
	case errors.Is(err, takeover.ErrNobody):
		d.listener, err = takeover.Bind(path)
	}
	if err != nil {
		return nil, fmt.Errorf("keep service %q: %w", k.config.Name, err)
	}
	return d, nil
}

// join takes the place of a keeper that has died.
func join(k *Keeper, socket *platform.Socket, creds platform.Credentials, timeout time.Duration) (*generation, *net.UnixListener, error) {
	link := peer.NewLink(socket)
	self, err := platform.SelfPidfd()
	if err != nil {
		_ = link.Close()
		return nil, nil, err
	}
	defer func() { _ = self.Close() }()
	hello := k.hello(wire.RoleKeeper)
	_ = link.SetReceiveDeadline(time.Now().Add(timeout))
	var f wire.Frame
	if err = link.Send(0, &hello, self.FD()); err == nil {
		f, err = link.Receive()
	}
	if err != nil {
		_ = link.Close()
		return nil, nil, fmt.Errorf("process %d: %w", creds.PID, err)
	}
	switch m := f.Message.(type) {
	case *wire.Abort:
		err = fmt.Errorf("process %d answers %s: %s", creds.PID, m.Code, m.Reason)
	case *wire.Hello:
		if !m.Takeover || len(f.Descriptors) != 2 {
			err = fmt.Errorf("process %d is not a generation of a service: another keeper answers there", creds.PID)
			break
		}
		_ = link.SetReceiveDeadline(time.Time{})
		proof, perr := platform.PidfdFromFD(f.Descriptors[0])
		ln, lerr := takeover.Adopt(f.Descriptors[1])
		f.Descriptors = nil
		if err = errors.Join(perr, lerr); err == nil {
			process := peer.Stranger(proof)
			return &generation{
				Peer: &peer.Peer{Link: link, Process: process, Build: m.Build}, socket: socket, process: process,
				number: m.Generation, answers: make(map[uint32]func(*wire.Reply)),
			}, ln, nil
		}
	default:
		err = fmt.Errorf("process %d answers with %s", creds.PID, f.Kind())
	}
	peer.CloseDescriptors(&f)
	_ = link.Close()
	return nil, nil, err
}

// open answers, until paused or closed.
func (d *door) open() {
	_ = d.listener.SetDeadline(time.Time{})
	ctx, cancel := context.WithCancel(d.ctx)
	d.interrupt, d.accepting = cancel, make(chan struct{})
	d.wait.Go(func() {
		defer close(d.accepting)
		defer cancel()
		_ = accept.Each(ctx, d.listener, d.keeper.log, func(c net.Conn) { // it was paused or closed
			d.wait.Go(func() { d.converse(platform.SocketFromConn(c.(*net.UnixConn))) })
		})
	})
}

// pause takes nobody in any more, until open.
func (d *door) pause() {
	_ = d.listener.SetDeadline(time.Unix(1, 0))
	d.interrupt()
	<-d.accepting
}

// converse answers one link.
func (d *door) converse(socket *platform.Socket) {
	k := d.keeper
	stop := func() bool { return true }
	defer func() { stop() }()
	v, err := peer.Welcome(socket, k.hello(wire.RoleKeeper), func(link *wire.Link) {
		stop = context.AfterFunc(d.ctx, func() { _ = link.SetReceiveDeadline(time.Unix(1, 0)) })
	})
	if err != nil {
		k.log.Debug("visitor turned away", "error", err)
		return
	}
	defer v.Close()
	v.Dismiss()
	if v.Hello.Role != wire.RoleControl {
		v.Deny(0, wire.CodeDenied, fmt.Errorf("service %q has a keeper, process %d, which alone starts its generations: ask it for an upgrade", k.config.Name, os.Getpid()))
		return
	}
	answer := k.hello(wire.RoleKeeper)
	if v.Link.Send(0, &answer) == nil {
		d.obey(v.Link, socket)
	}
}

// obey answers a control client, one question after the other.
func (d *door) obey(link *wire.Link, socket *platform.Socket) {
	k := d.keeper
	vote := func(m *wire.Vote) *wire.Abort {
		denials := make(chan *wire.Abort, 1)
		if !k.post(func() { denials <- k.ballot(link, *m) }) {
			return nil
		}
		select {
		case denial := <-denials:
			return denial
		case <-k.done:
			return nil
		}
	}
	ask := func(m wire.Message) (await func() *wire.Reply) { return d.asked(link, socket, m) }
	peer.Obey(d.ctx, link, ask, vote, func() { k.post(func() { k.quit(link) }) })
}

// asked puts one question to the loop, and returns how to wait for the answer; nil if it is none.
func (d *door) asked(link *wire.Link, socket *platform.Socket, question wire.Message) (await func() *wire.Reply) {
	k := d.keeper
	answers, states := make(chan *wire.Reply, 1), make(chan wire.State, 64)
	answer := func(r *wire.Reply) { answers <- r }
	watching := caller{link, answer, func(s *wire.State) {
		select {
		case states <- *s:
		default: // a client that does not keep up misses some
		}
	}}
	var act func()
	switch m := question.(type) {
	case *wire.Status:
		act = func() { k.status(*m, answer) }
		if m.Follow {
			act = func() { k.follow(watching) }
		}
	case *wire.Stats:
		act = func() { k.stats(answer) }
	case *wire.Stop:
		act = func() {
			k.stop(onStop, "asked at the takeover socket")
			answer(&wire.Reply{})
		}
	case *wire.Upgrade:
		who := watching
		if !m.Watch {
			who = caller{answer: answer}
		}
		act = func() { k.upgrade(*m, who) }
		if m.Keeper {
			act = func() { k.replace(socket, answer) }
		}
	default:
		return nil
	}
	k.post(act)
	return func() *wire.Reply {
		for {
			select {
			case r := <-answers:
				for len(states) > 0 {
					s := <-states
					_ = link.Send(0, &s)
				}
				return r
			case s := <-states:
				_ = link.Send(0, &s)
			case <-k.done:
				return &wire.Reply{Error: errNoService.Error(), Code: wire.CodeDenied}
			}
		}
	}
}

// abandon is close for a keeper that does not begin: a service that it has joined goes on without it, and answers there again.
func (d *door) abandon() {
	if d.joined == nil {
		d.close()
		return
	}
	d.stop()
	_ = d.listener.Close()
	d.joined.close()
}

// close stops answering, and removes the path: no generation is left.
func (d *door) close() {
	d.stop()
	d.rejoining.Lock()
	defer d.rejoining.Unlock()
	_ = os.Remove(d.listener.Addr().String())
	_ = d.listener.Close()
	d.wait.Wait()
}
