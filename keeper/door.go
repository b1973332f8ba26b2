package keeper

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"time"

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
		if d.joined, d.listener, err = join(k, socket, creds); err == nil {
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
func join(k *Keeper, socket *platform.Socket, creds platform.Credentials) (*generation, *net.UnixListener, error) {
	link := peer.NewLink(socket)
	self, err := platform.SelfPidfd()
	if err != nil {
		_ = link.Close()
		return nil, nil, err
	}
	defer func() { _ = self.Close() }()
	hello := k.hello(wire.RoleKeeper)
	_ = link.SetReceiveDeadline(time.Now().Add(answerTimeout))
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

// open answers, until closed.
func (d *door) open() {
	d.wait.Add(1)
	go func() {
		defer d.wait.Done()
		for {
			c, err := d.listener.Accept()
			if err != nil {
				return
			}
			d.wait.Add(1)
			go func() {
				defer d.wait.Done()
				d.converse(platform.SocketFromConn(c.(*net.UnixConn)))
			}()
		}
	}()
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

// controlIdle is how long a control client may say nothing.
const controlIdle = time.Minute

// obey answers a control client, one question after the other.
func (d *door) obey(link *wire.Link, socket *platform.Socket) {
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
		reply := d.answer(link, socket, f.Message)
		if reply == nil || link.Send(0, reply) != nil {
			return
		}
	}
}

// answer is the answer to one question; nil if it is none.
func (d *door) answer(link *wire.Link, socket *platform.Socket, question wire.Message) *wire.Reply {
	k := d.keeper
	answers := make(chan *wire.Reply, 1)
	answer := func(r *wire.Reply) { answers <- r }
	var states chan wire.State
	var act func()
	switch m := question.(type) {
	case *wire.Status:
		act = func() { k.status(answer) }
	case *wire.Stop:
		act = func() {
			k.stop(onStop, "asked at the takeover socket")
			answer(&wire.Reply{})
		}
	case *wire.Upgrade:
		if m.Keeper {
			act = func() { k.replace(socket, answer) }
			break
		}
		var watch func(*wire.State)
		if m.Watch {
			states = make(chan wire.State, 64)
			watch = func(s *wire.State) {
				select {
				case states <- *s:
				default: // a client that does not keep up misses some
				}
			}
		}
		act = func() { k.upgrade(*m, answer, watch) }
	default:
		return nil
	}
	if !k.post(act) {
		return &wire.Reply{Error: errNoService.Error(), Code: wire.CodeDenied}
	}
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
	_ = os.Remove(d.listener.Addr().String())
	_ = d.listener.Close()
	d.wait.Wait()
}

// status tells how the service is: what its incumbent says, and what the keeper knows beside.
func (k *Keeper) status(answer func(*wire.Reply)) {
	keeping := &wire.Keeping{
		PID: os.Getpid(), Build: k.build, Running: k.shelf.running.Digest, Previous: k.shelf.previous.Digest,
		Restarts: k.restarts, Last: k.last,
	}
	if k.incumbent == nil || k.incumbent.Link == nil {
		answer(&wire.Reply{Status: k.ownStatus(keeping)})
		return
	}
	k.incumbent.ask(k, &wire.Status{}, func(r *wire.Reply) {
		if r.Status != nil {
			r.Status.Keeper = keeping
		}
		answer(&wire.Reply{Status: r.Status, Error: r.Error, Code: r.Code})
	})
}

// ownStatus is how the service is as the keeper sees it.
func (k *Keeper) ownStatus(keeping *wire.Keeping) *wire.ServiceStatus {
	s := &wire.ServiceStatus{
		Service: k.config.Name, State: k.state.String(), Attempt: k.attempts, Listeners: specs(k.spare),
		UptimeMs: time.Since(k.started).Milliseconds(), Keeper: keeping,
	}
	for _, g := range k.generations {
		if g != k.incumbent {
			s.Draining = append(s.Draining, wire.Drainer{Generation: g.number, PID: g.PID()})
		}
	}
	if g := k.incumbent; g != nil {
		s.Generation, s.PID, s.Build, s.Listeners = g.number, g.PID(), g.Build, specs(g.held)
	}
	slices.SortFunc(s.Draining, func(a, b wire.Drainer) int { return a.Generation - b.Generation })
	return s
}
