package handover

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/handover-go/handover/internal/idle"
	"github.com/handover-go/handover/internal/wire"
)

// What becomes of connections at their idle point.
const (
	modeStay   = iota // they are served here
	modeFollow        // those that were asked are captured, to follow the service to another generation
	modePart          // their clients are asked to leave: they should follow and cannot
	modeRetire        // they are closed: the service ends
)

// sockets are all listeners and packet sockets of a process, and the connections accepted on them. It owns their descriptors.
type sockets struct {
	config net.ListenConfig
	log    *slog.Logger
	mode   atomic.Int32
	// handedOver: another generation serves, and this one holds its sockets until it has gone.
	handedOver atomic.Bool

	mu        sync.Mutex
	members   []*socket
	offered   []*inherited       // came from the incumbent or from socket activation, in their order
	conns     map[*conn]struct{} // with their servers
	outbox    []*conn            // captured, not yet collected
	ended     bool               // nobody collects any more
	cuts      cuts               // what cut has closed
	lingering sync.WaitGroup     // goroutines in conn.linger
	changed   chan struct{}      // has room for one; signalled when outbox grew or conns shrank while leaving
}

func newSockets(config net.ListenConfig, log *slog.Logger) *sockets {
	return &sockets{config: config, log: log, conns: make(map[*conn]struct{}), changed: make(chan struct{}, 1)}
}

// all returns the sockets that are open.
func (s *sockets) all() []*socket {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.members)
}

// offers returns what another generation is to have: each socket once, however many listeners share it.
func (s *sockets) offers() (all []*socket) {
	for _, m := range s.all() {
		if !slices.ContainsFunc(all, func(other *socket) bool { return other.base() == m.base() }) {
			all = append(all, m)
		}
	}
	return all
}

// listeners returns those that have connections.
func (s *sockets) listeners() (all []*listener) {
	for _, m := range s.all() {
		if l, ok := m.queue.(*listener); ok {
			all = append(all, l)
		}
	}
	return all
}

// find returns the listener with that key, or that accepts for the socket which has it; an empty key is the first.
func (s *sockets) find(key string) *listener {
	for _, l := range s.listeners() {
		if key == "" || l.spec.Key() == key {
			return l
		}
	}
	for _, sp := range s.spares() {
		if sp.spec.Key() == key {
			return sp.heir
		}
	}
	return nil
}

func (s *sockets) forget(sock *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.members = slices.DeleteFunc(s.members, func(other *socket) bool { return other == sock })
}

// wrap makes c, which was accepted on l, one of the connections that are watched.
func (s *sockets) wrap(l *listener, raw net.Conn) *conn {
	c := newConn(l, raw)
	s.watch(c)
	return c
}

func (s *sockets) watch(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c] = struct{}{}
}

// closed forgets a connection that ended here.
func (s *sockets) closed(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if s.mode.Load() != modeStay {
		s.signal()
	}
}

// lingers reports whether a connection that its server closes is to linger, as this generation leaves; who calls it begins that.
func (s *sockets) lingers() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || !s.handedOver.Load() && s.mode.Load() != modeRetire {
		return false
	}
	s.lingering.Add(1)
	return true
}

// captured takes a connection that left its server at the idle point, or its handler where it let go. It reports false, and c stays
// the caller's, when nobody can send it any more.
func (s *sockets) captured(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if s.ended {
		return false
	}
	s.outbox = append(s.outbox, c)
	s.signal()
	return true
}

// collect takes what was captured.
func (s *sockets) collect() (captured []*conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	captured, s.outbox = s.outbox, nil
	return captured
}

// setMode says what becomes of connections at their idle point. Where they are closed, those that stand there learn it at once; to
// follow, they are asked.
func (s *sockets) setMode(mode int32) {
	s.mode.Store(mode)
	if mode == modeStay {
		return
	}
	if mode == modeRetire {
		for _, c := range s.watched() {
			c.interrupt()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signal()
}

// watched returns the connections that are open here.
func (s *sockets) watched() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.conns))
}

func (s *sockets) signal() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// count tells how many connections are open here.
func (s *sockets) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns) + len(s.outbox)
}

// ofClients tells how many of those are a client's: not those that the incumbent has made for its checks.
func (s *sockets) ofClients() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if !c.preview {
			n++
		}
	}
	return n + len(s.outbox)
}

// phases counts the connections by where their servers stand with them.
func (s *sockets) phases() (n wire.Connections) {
	for _, c := range s.watched() {
		c.mu.Lock()
		p := c.point.Phase
		c.mu.Unlock()
		switch p {
		case idle.Fresh:
			n.New++
		case idle.Active:
			n.Active++
		case idle.Idle:
			n.Idle++
		case idle.Hijacked:
			n.Hijacked++
		default:
			n.Other++
		}
	}
	return n
}

// openGates lets this process take from every queue.
func (s *sockets) openGates() {
	for _, m := range s.all() {
		m.openGate()
	}
}

// park closes the gate of every socket for which choose answers true.
func (s *sockets) park(ctx context.Context, choose func(*socket) bool) error {
	for _, m := range s.all() {
		if !choose(m) {
			continue
		}
		if err := m.park(ctx); err != nil {
			return fmt.Errorf("park %s: %w", m.spec.Key(), err)
		}
	}
	return nil
}

// cut closes every connection, and says how many there were; more are those that the caller has closed on their way to another
// generation.
func (s *sockets) cut(more int) cuts {
	s.mu.Lock()
	captured, conns := s.outbox, slices.Collect(maps.Keys(s.conns))
	s.outbox, s.ended = nil, true
	clear(s.conns)
	s.mu.Unlock()
	counted := cuts{following: len(captured) + more}
	for _, c := range conns {
		counted[c.kind()]++
		_ = c.Conn.Close()
	}
	for _, c := range captured {
		c.gone(nowhere)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cuts = counted
	return counted
}

// answered waits for who has read datagrams, as socket.answered does.
func (s *sockets) answered(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, emptyWithin)
	defer cancel()
	for _, m := range s.all() {
		m.answered(bounded)
	}
}

// close closes every socket.
func (s *sockets) close() {
	s.dropUnadopted()
	for _, l := range s.listeners() {
		l.release()
		l.discard()
	}
	for _, m := range s.all() {
		m.release()
		_ = m.closeSocket()
	}
	s.lingering.Wait() // none is left, or all were cut
}
