package handover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/handover-go/handover/internal/wire"
)

// passage is how what is known of peers goes to the other side of a handover. It belongs to the goroutine that freezes this generation:
// the loop of life does not wait for a receiver, and what is sent here is more than the socket's buffer takes at once.
type passage struct {
	sockets *sockets
	log     *slog.Logger
	send    func(context.Context, *wire.Carry) error
	within  time.Duration
	items   []passenger
}

// passenger is what is to go of one socket.
type passenger struct {
	*acquaintance
	key string // under which the other side knows the socket
}

// passage is what goes to the peer, of the sockets that it has.
func (l *life) passage(has func(*socket) bool) *passage {
	link, number := l.peer.Link, l.number()
	p := &passage{
		sockets: l.process.sockets, log: l.log, within: l.process.config.FreezeTimeout,
		send: func(ctx context.Context, m *wire.Carry) error { return link.SendUntil(ctx, number, m) },
	}
	if !slices.Contains(l.peer.Features, wire.FeatureCarry) {
		return p
	}
	for _, a := range l.process.acquaintances {
		if key, ok := l.keyOf(a.socket.base()); ok && has(a.socket.base()) {
			p.items = append(p.items, passenger{a, key})
		}
	}
	return p
}

// keyOf is the key under which both sides of the handover know a socket: that of the incumbent.
func (l *life) keyOf(s *socket) (key string, ok bool) {
	switch {
	case l.offer == nil:
		return s.spec.Key(), true
	case s.from == nil:
		return "", false // the successor has brought it
	default:
		return s.from.spec.Key(), true
	}
}

// pass sends all of it, once the sockets are parked, until one fails.
func (p *passage) pass(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.within)
	defer cancel()
	room := maxPeers
	for _, item := range p.items {
		if err := p.passOne(ctx, item, &room); err != nil {
			return fmt.Errorf("pass on %s: %w", item, err)
		}
	}
	return nil
}

// bringBack is pass for a generation that is taken back: the receiver drops what has come of an item that ends too early, and takes the
// others.
func (p *passage) bringBack(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, p.within)
	defer cancel()
	room := maxPeers
	for _, item := range p.items {
		if err := p.passOne(bounded, item, &room); err != nil && ctx.Err() == nil {
			p.log.Error("what this generation has learnt of peers is lost: the incumbent goes on with what it knew", "error", fmt.Errorf("pass on %s: %w", item, err))
		}
	}
}

func (p *passage) passOne(ctx context.Context, a passenger, room *int) error {
	for _, s := range p.sockets.beside(a.socket) {
		if err := s.quiet(ctx); err != nil {
			return fmt.Errorf("who has read a datagram does not read again: %w", err)
		}
	}
	c := newConsignment(a.socket.spec.Network, a.key, a.kind, room, func(m *wire.Carry) error { return p.send(ctx, m) })
	err := c.end(a.call(ctx, func() error { return a.peers.Export(ctx, c.put) }))
	if err == nil {
		p.log.Debug("state of peers passed on", "listener", a.socket.spec.Key(), "kind", a.kind, "peers", c.peers, "bytes", c.bytes)
	}
	return err
}

// carried takes a chunk of state: of the first round before FREEZE, or of the second behind it, which ends what the incumbent has to
// pass; or of what a successor brings back that is taken back. An item that this build does not know is passed over.
func (l *life) carried(f *wire.Frame, m *wire.Carry) {
	switch l.state {
	case checking, ready, frozen:
	case reclaiming:
		if m.Name == peersItem {
			l.attempt.peers.take(m, l.acquainted)
		}
		return
	default:
		l.unexpected(f)
		return
	}
	switch {
	case m.Name == ticketItem:
		if err := l.process.tickets.adopt(m); err != nil {
			l.log.Warn("session tickets of the incumbent are not honoured", "error", err)
		}
	case m.Name == peersItem && l.state == frozen:
		l.offer.peers.take(m, l.acquainted)
	}
	if m.EndOfRound && l.state == frozen {
		l.importPeers(&l.offer.peers, func(err error) {
			switch {
			case err == nil:
				l.raise(onCarried, "")
			case l.state == frozen && !l.peer.Process.Ended():
				l.raise(onImportFailed, err.Error())
			default:
				l.lost(err) // the incumbent has died meanwhile: nobody else can serve
			}
		})
	}
}

// acquainted finds what the program knows of the peers of a socket.
func (l *life) acquainted(key, kind string) *acquaintance {
	for _, a := range l.process.acquaintances {
		if k, ok := l.keyOf(a.socket.base()); ok && k == key && a.kind == kind {
			return a
		}
	}
	l.log.Warn("state of peers passed over: it is not known here", "listener", key, "kind", kind)
	return nil
}

// importPeers has the program import what has come whole, and then runs done in the loop, at once if there is nothing. The sockets
// concerned are not read until then, whoever opens them.
func (l *life) importPeers(d *delivery, done func(error)) {
	whole, err := d.end()
	if len(whole) == 0 {
		done(err)
		return
	}
	held := make([][]*socket, len(whole))
	for i, p := range whole {
		held[i] = l.process.sockets.beside(p.to.socket)
		for _, s := range held[i] {
			s.hold()
		}
	}
	l.background(l.process.context, func(ctx context.Context) {
		var errs []error
		for i, p := range whole {
			err := p.to.call(ctx, func() error { return p.to.peers.Import(p.peers()) })
			if err != nil {
				errs = append(errs, fmt.Errorf("import %s: %w", p.to, err))
			}
			for _, s := range held[i] {
				s.unhold()
			}
		}
		l.post(func() { done(errors.Join(errs...)) })
	})
}

// keepPeers imports what has come where no handover hangs on it: what cannot be imported is lost, and what was known stands.
func (l *life) keepPeers(d *delivery) {
	l.importPeers(d, func(err error) {
		if err != nil {
			l.lost(err)
		}
	})
}

func (l *life) lost(err error) {
	l.log.Error("what another generation has learnt of peers is lost: this one goes on with what it knew", "error", err)
}

// beside are the datagram sockets to which the datagrams of one peer may come: those of its group (SO_REUSEPORT), or it alone.
func (s *sockets) beside(one *socket) (all []*socket) {
	for _, m := range s.all() {
		if m == one || m.base() == one.base() || m.spec.Bound != "" && m.outlives(one) {
			all = append(all, m)
		}
	}
	return all
}
