package handover

import (
	"context"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/handover-go/handover/internal/wire"
)

// spare is a listening socket of a group (SO_REUSEPORT) in which the program has fewer listeners than the generation before. It goes
// on: what its queue holds comes out of the Accept of another listener of the group, its heir. A next build with more listeners
// has it back.
//
// To close it would lose connections. The kernel gives each socket of a group its share of the clients until it is closed, and resets
// those that are queued or in their handshake then, unless net.ipv4.tcp_migrate_req is set. Emptied first, it loses nothing
// only where clients can be kept out meanwhile, and platform.Deafen can do that with CAP_NET_ADMIN alone, not for Multipath TCP,
// which is what package net listens with, and at the price of a second for each of them; nor is it known when the last handshake from far
// away has ended. To have the others take its share (SO_ATTACH_REUSEPORT_CBPF) one must know its place in the group, which the kernel
// tells nobody and which changes whenever one is closed, and the program may have a filter of its own there.
type spare struct {
	socket
	kernel rawListener // the socket's raw
	heir   *listener
}

// keepSpares adopts the listening sockets that the program did not, where it has listeners bound to the same address. They are
// divided among these. It is called once the program listens no more.
func (s *sockets) keepSpares() {
	s.mu.Lock()
	offered := slices.Clone(s.offered)
	s.mu.Unlock()
	for _, in := range offered {
		if in.adopted || in.spec.Packet || isUnix(in.spec.Network) {
			continue
		}
		heirs := s.heirs(in)
		if len(heirs) == 0 {
			continue
		}
		raw, err := s.open(context.Background(), in, in.spec)
		if err != nil {
			s.log.Warn("a socket of the group is given up", "error", err)
			continue
		}
		heir := heirs[in.spec.Ordinal%len(heirs)]
		s.add(&newSpare(s, raw.(rawListener), in.spec, heir).socket, origin{from: in})
		s.log.Info("the group has more sockets than this build listeners: another of them accepts", "socket", in.spec.Key(), "listener", heir.spec.Key())
	}
}

// heirs returns the listeners that are bound where in is.
func (s *sockets) heirs(in *inherited) (all []*listener) {
	for _, l := range s.listeners() {
		if l.spec.Bound == in.spec.Bound {
			all = append(all, l)
		}
	}
	return all
}

// spares returns those of the service.
func (s *sockets) spares() (all []*spare) {
	for _, m := range s.all() {
		if sp, ok := m.queue.(*spare); ok {
			all = append(all, sp)
		}
	}
	return all
}

func newSpare(set *sockets, raw rawListener, spec wire.Listener, heir *listener) *spare {
	sp := &spare{socket: socket{raw: raw, spec: spec, set: set}, kernel: raw, heir: heir}
	sp.queue = sp
	sp.init(raw.SetDeadline, heir.refusal)
	heir.mu.Lock()
	defer heir.mu.Unlock()
	heir.spares = append(heir.spares, sp)
	return sp
}

// serve accepts for the heir, one at a time: what the program does not accept yet waits in the kernel, where the next generation
// finds it. It ends when the socket is released.
func (sp *spare) serve(ctx context.Context) {
	for {
		err := sp.through(nil, func() error {
			raw, err := sp.kernel.Accept()
			if err == nil {
				sp.heir.bring(raw) // with the gate passed: parking waits for it
			}
			return err
		})
		switch {
		case err == nil:
			sp.heir.awaitAccepted()
		case errors.Is(err, net.ErrClosed):
			return
		default: // such as that no descriptor is free: it will be the program's to say so at its own listener
			select {
			case <-time.After(emptyAfter):
			case <-ctx.Done():
				return
			}
		}
	}
}

// takeQueued implements queue.
func (sp *spare) takeQueued(ctx context.Context) error {
	if err := sp.park(ctx); err != nil {
		return err
	}
	return acceptQueued(ctx, sp.kernel, sp.heir.bring)
}
