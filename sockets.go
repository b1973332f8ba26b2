package handover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// What becomes of connections at their idle point.
const (
	modeStay   = iota // they are served here
	modeFollow        // they are captured, to follow the service to another generation
	modePart          // their clients are asked to leave: they should follow and cannot
	modeRetire        // they are closed: the service ends
)

// sockets are all listeners of a process and the connections accepted on them. It owns their descriptors.
type sockets struct {
	config net.ListenConfig
	log    *slog.Logger
	mode   atomic.Int32
	// handedOver: another generation serves, and this one holds its sockets until it has gone.
	handedOver atomic.Bool

	mu        sync.Mutex
	listeners []*listener
	offered   []*inherited       // came from the incumbent or from socket activation, in their order
	conns     map[*conn]struct{} // with their servers
	outbox    []*conn            // captured, not yet collected
	changed   chan struct{}      // has room for one; signalled when outbox grew or conns shrank while leaving
}

// inherited is a listening socket that came from somewhere else and that Listen may adopt.
type inherited struct {
	spec    wire.Listener
	fd      int
	adopted bool
}

func newSockets(config net.ListenConfig, log *slog.Logger) *sockets {
	return &sockets{config: config, log: log, conns: make(map[*conn]struct{}), changed: make(chan struct{}, 1)}
}

// listen returns the inherited listener for network and address, or makes one. Process.Listen calls it one at a time.
func (s *sockets) listen(ctx context.Context, network, address string) (*listener, error) {
	spec := wire.Listener{Network: network, Address: address}
	for _, l := range s.all() {
		if l.spec.Network == network && l.spec.Address == address {
			spec.Ordinal++
		}
	}
	from := s.unadopted(func(in *inherited) bool {
		// Socket activation knows addresses only as they are bound.
		return in.spec.Key() == spec.Key() || in.spec.Shared && sameBinding(ctx, network, address, in.spec)
	})
	raw, err := s.open(ctx, from, spec)
	if errors.Is(err, syscall.EADDRINUSE) {
		if from = s.unadopted(func(in *inherited) bool { return sameBinding(ctx, network, address, in.spec) }); from != nil {
			s.log.Warn("listener adopted by its bound address: give Listen the address that the incumbent gives",
				"asked", spec.Key(), "offered", from.spec.Key(), "bound", from.spec.Bound)
			raw, err = s.open(ctx, from, spec)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("listen %s %s: %w", network, address, err)
	}
	spec.Bound = raw.Addr().String()
	l := newListener(s, raw, spec)
	if from != nil {
		from.adopted = true
		l.from, l.spec.Shared = from, from.spec.Shared
		s.compareOptions(l)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners = append(s.listeners, l)
	return l, nil
}

// unadopted returns the first inherited listener that Listen has not taken yet and that is wanted.
func (s *sockets) unadopted(wanted func(*inherited) bool) *inherited {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, in := range s.offered {
		if !in.adopted && !in.spec.Packet && wanted(in) {
			return in
		}
	}
	return nil
}

// sameBinding reports whether listening on address means what is bound as spec says.
func sameBinding(ctx context.Context, network, address string, spec wire.Listener) bool {
	if network == "unix" || spec.Network == "unix" {
		return network == spec.Network && address == spec.Bound
	}
	bound, err := netip.ParseAddrPort(spec.Bound)
	if err != nil {
		return false
	}
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if port, err := net.DefaultResolver.LookupPort(ctx, network, service); err != nil || port != int(bound.Port()) {
		return false
	}
	if host == "" {
		return bound.Addr().IsUnspecified()
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	return err == nil && slices.ContainsFunc(ips, func(ip netip.Addr) bool { return ip.Unmap() == bound.Addr().Unmap() })
}

// open makes the listening socket, or uses the inherited one.
func (s *sockets) open(ctx context.Context, from *inherited, spec wire.Listener) (rawListener, error) {
	if from == nil {
		ln, err := s.config.Listen(ctx, spec.Network, spec.Address)
		if err != nil {
			return nil, err
		}
		if u, ok := ln.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false) // the path is the service's, not this generation's
		}
		return ln.(rawListener), nil
	}
	ln, err := platform.Listener(from.fd) // owns the descriptor, even if it fails
	from.fd = -1
	if err != nil {
		return nil, fmt.Errorf("adopt %s: %w", from.spec.Key(), err)
	}
	return ln.(rawListener), nil
}

// compareOptions reports socket options that the program's ListenConfig would have set otherwise: they stay as they are.
func (s *sockets) compareOptions(l *listener) {
	if s.config.Control == nil {
		return
	}
	fresh, err := platform.ProbeSocket(family(l), func(network, _ string, c syscall.RawConn) error {
		return s.config.Control(network, l.spec.Address, c)
	})
	if err != nil {
		s.log.Warn("socket options not compared", "listener", l.spec.Key(), "error", err)
		return
	}
	defer func() { _ = platform.CloseFD(fresh) }()
	fd, err := platform.FD(l.raw)
	if err != nil {
		return
	}
	for _, difference := range platform.OptionDifferences(fd, fresh) {
		s.log.Warn("the listener keeps its socket option", "listener", l.spec.Key(), "option", difference)
	}
}

// family is the network of l as its address has it: package net makes another socket for an IPv4 literal.
func family(l *listener) string {
	if a, ok := l.Addr().(*net.TCPAddr); ok && l.spec.Network == "tcp" && a.IP.To4() != nil {
		return "tcp4"
	}
	return l.spec.Network
}

// inherit takes ownership of listening sockets that Listen may adopt.
func (s *sockets) inherit(offered []*inherited) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offered = append(s.offered, offered...)
}

// adopted returns the indices of the inherited listeners that Listen took, and those that it made.
func (s *sockets) adopted() (taken []int, added []wire.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, in := range s.offered {
		if in.adopted {
			taken = append(taken, i)
		}
	}
	for _, l := range s.listeners {
		if l.from == nil {
			added = append(added, l.spec)
		}
	}
	return taken, added
}

// dropUnadopted closes the inherited listeners that Listen did not take.
func (s *sockets) dropUnadopted() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, in := range s.offered {
		if !in.adopted && in.fd >= 0 {
			_ = platform.CloseFD(in.fd)
		}
	}
	s.offered = nil
}

// all returns the listeners that are open.
func (s *sockets) all() []*listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.listeners)
}

// find returns the listener with that key; an empty key is the first.
func (s *sockets) find(key string) *listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.listeners {
		if key == "" || l.spec.Key() == key {
			return l
		}
	}
	return nil
}

func (s *sockets) forget(l *listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners = slices.DeleteFunc(s.listeners, func(other *listener) bool { return other == l })
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

// captured takes a connection that left its server at the idle point.
func (s *sockets) captured(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.outbox = append(s.outbox, c)
	s.signal()
}

// collect takes what was captured, and tells how many connections are still with their servers.
func (s *sockets) collect() (captured []*conn, open int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	captured, s.outbox = s.outbox, nil
	return captured, len(s.conns)
}

// setMode says what becomes of connections at their idle point, and wakes those that stand there.
func (s *sockets) setMode(mode int32) {
	s.mode.Store(mode)
	if mode == modeStay {
		return
	}
	s.mu.Lock()
	conns := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.signal()
	s.mu.Unlock()
	for _, c := range conns {
		c.interrupt()
	}
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

// openGates lets every listener accept.
func (s *sockets) openGates() {
	for _, l := range s.all() {
		l.openGate()
	}
}

// park stops every listener for which choose answers true from accepting.
func (s *sockets) park(ctx context.Context, choose func(*listener) bool) error {
	for _, l := range s.all() {
		if !choose(l) {
			continue
		}
		if err := l.park(ctx); err != nil {
			return fmt.Errorf("park %s: %w", l.spec.Key(), err)
		}
	}
	return nil
}

// cut closes every connection, and says how many there were.
func (s *sockets) cut() int {
	s.mu.Lock()
	conns := slices.Clone(s.outbox)
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.outbox = nil
	clear(s.conns)
	s.mu.Unlock()
	for _, c := range conns {
		_ = c.Conn.Close()
	}
	return len(conns)
}

// close closes every listener.
func (s *sockets) close() {
	s.dropUnadopted()
	for _, l := range s.all() {
		l.release()
		l.discard()
		_ = l.closeSocket()
	}
}
