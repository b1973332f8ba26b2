package handover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// inherited is a socket that came from somewhere else and that Listen or ListenPacket may adopt.
type inherited struct {
	spec    wire.Listener
	fd      int
	adopted bool
}

// listen returns the inherited listener for network and address, or makes one. Process.Listen calls it one at a time.
func (s *sockets) listen(ctx context.Context, network, address string) (net.Listener, error) {
	raw, spec, from, err := s.acquire(ctx, wire.Listener{Network: network, Address: address})
	if err != nil {
		return nil, err // package net names network and address, and open the one it adopts
	}
	l := newListener(s, raw.(rawListener), spec)
	s.add(&l.socket, from)
	return l, nil
}

// listenPacket is listen for datagrams.
func (s *sockets) listenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	if network != "unixgram" && !strings.HasPrefix(network, "udp") {
		return nil, fmt.Errorf("listen %s %s: %w", network, address, net.UnknownNetworkError(network))
	}
	raw, spec, from, err := s.acquire(ctx, wire.Listener{Network: network, Address: address, Packet: true})
	if err != nil {
		return nil, err
	}
	if udp, ok := raw.(*net.UDPConn); ok {
		p := newUDPPacket(s, udp, spec)
		s.add(&p.socket, from)
		return p, nil
	}
	p := newUnixPacket(s, raw.(*net.UnixConn), spec)
	s.add(&p.socket, from)
	return p, nil
}

// origin is where a socket came from: the incumbent or socket activation, or another listener of this process, or neither.
type origin struct {
	from *inherited
	of   *socket
}

// acquire returns the inherited socket that is wanted, or makes it, and completes what is known of it.
func (s *sockets) acquire(ctx context.Context, spec wire.Listener) (rawSocket, wire.Listener, origin, error) {
	if err := fitsSunPath(spec); err != nil {
		return nil, spec, origin{}, err
	}
	for _, other := range s.all() {
		if other.spec.Network == spec.Network && other.spec.Address == spec.Address {
			spec.Ordinal++
		}
	}
	bound := func(in *inherited) bool { return sameBinding(ctx, spec, in.spec) }
	from := s.unadopted(func(in *inherited) bool {
		// Socket activation knows addresses only as they are bound.
		return in.spec.Key() == spec.Key() || in.spec.Shared && bound(in)
	})
	if from == nil {
		if m := s.joinGroup(ctx, spec); m != nil {
			raw, err := s.share(ctx, m)
			return raw, m.spec, origin{of: m}, err
		}
	}
	raw, err := s.open(ctx, from, spec)
	if errors.Is(err, syscall.EADDRINUSE) {
		if from = s.unadopted(bound); from != nil {
			s.log.Warn("listener adopted by its bound address: give Listen the address that the incumbent gives",
				"asked", spec.Key(), "offered", from.spec.Key(), "bound", from.spec.Bound)
			raw, err = s.open(ctx, from, spec)
		}
	}
	if err != nil {
		return nil, spec, origin{}, err
	}
	spec.Bound = boundAddr(raw).String()
	spec.Shared = from != nil && from.spec.Shared
	return raw, spec, origin{from: from}, nil
}

// maxPath is what fits into sun_path with its terminating zero; an abstract name has none behind it, and one ahead that is written @
// (unix(7)).
const maxPath = 107

// fitsSunPath says what package net calls an invalid argument.
func fitsSunPath(spec wire.Listener) error {
	switch over := len(spec.Address) - maxPath; {
	case !isUnix(spec.Network) || over <= 0:
		return nil
	case !strings.HasPrefix(spec.Address, "@"):
		return fmt.Errorf("listen %s %q: %w: the path has %d bytes, at most %d: choose a shorter one, or a link to its directory",
			spec.Network, spec.Address, syscall.EINVAL, len(spec.Address), maxPath)
	case over > 1:
		return fmt.Errorf("listen %s %q: %w: the abstract name has %d bytes, at most %d: choose a shorter one",
			spec.Network, spec.Address, syscall.EINVAL, len(spec.Address)-1, maxPath)
	}
	return nil
}

// joinGroup returns one of the sockets that were adopted of a group (SO_REUSEPORT), where the program listens more often than the
// incumbent; nil if there are none. The next listener shares its queue: a new socket in the group would be given its part of the
// clients at once, and they would wait for the commit, and be lost if none came, or the successor were taken back.
func (s *sockets) joinGroup(ctx context.Context, spec wire.Listener) *socket {
	var group []*socket
	for _, m := range s.all() {
		if m.from == nil || isUnix(spec.Network) {
			continue
		}
		if fd, err := platform.FD(m.raw); err == nil && platform.Grouped(fd) && sameBinding(ctx, spec, m.spec) {
			group = append(group, m)
		}
	}
	if len(group) == 0 {
		return nil
	}
	return group[spec.Ordinal%len(group)]
}

// share makes another descriptor of a socket.
func (s *sockets) share(ctx context.Context, m *socket) (rawSocket, error) {
	fd, err := platform.FD(m.raw)
	if err == nil {
		fd, err = platform.Duplicate(fd)
	}
	if err != nil {
		return nil, fmt.Errorf("listen: share %s: %w", m.spec.Key(), err)
	}
	return s.open(ctx, &inherited{spec: m.spec, fd: fd}, m.spec)
}

// add makes a socket one of the service's.
func (s *sockets) add(sock *socket, o origin) {
	sock.origin = o
	if o.from != nil {
		s.compareOptions(sock)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.from != nil {
		o.from.adopted = true
	}
	s.members = append(s.members, sock)
}

// unadopted returns the first inherited socket that nobody has taken yet and that is wanted.
func (s *sockets) unadopted(wanted func(*inherited) bool) *inherited {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, in := range s.offered {
		if !in.adopted && wanted(in) {
			return in
		}
	}
	return nil
}

// sameBinding reports whether listening as wanted means what is bound as spec says.
func sameBinding(ctx context.Context, wanted, spec wire.Listener) bool {
	if wanted.Packet != spec.Packet {
		return false
	}
	if isUnix(wanted.Network) || isUnix(spec.Network) {
		return wanted.Network == spec.Network && wanted.Address == spec.Bound
	}
	bound, err := netip.ParseAddrPort(spec.Bound)
	if err != nil {
		return false
	}
	host, service, err := net.SplitHostPort(wanted.Address)
	if err != nil {
		return false
	}
	if port, err := net.DefaultResolver.LookupPort(ctx, wanted.Network, service); err != nil || port != int(bound.Port()) {
		return false
	}
	if host == "" {
		return bound.Addr().IsUnspecified()
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	return err == nil && slices.ContainsFunc(ips, func(ip netip.Addr) bool { return ip.Unmap() == bound.Addr().Unmap() })
}

// bind makes the socket.
func (s *sockets) bind(ctx context.Context, spec wire.Listener) (ln net.Listener, pc net.PacketConn, err error) {
	if spec.Packet {
		pc, err = s.config.ListenPacket(ctx, spec.Network, spec.Address)
		return nil, pc, err
	}
	ln, err = s.config.Listen(ctx, spec.Network, spec.Address)
	if u, ok := ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // the path is the service's, not this generation's
	}
	return ln, nil, err
}

// bindAnew makes a unix socket at a path that exists, if nobody has the one there open any more: a killed process leaves its path
// behind. The lock, on the directory, keeps two processes from each removing what the other has just made.
func (s *sockets) bindAnew(ctx context.Context, spec wire.Listener, inUse error) (net.Listener, net.PacketConn, error) {
	unlock, err := platform.LockDir(filepath.Dir(spec.Address))
	if err != nil {
		return nil, nil, fmt.Errorf("%w (%w)", inUse, err)
	}
	defer unlock()
	if err := removeStale(ctx, spec); err != nil {
		return nil, nil, fmt.Errorf("%w (%w)", inUse, err)
	}
	return s.bind(ctx, spec)
}

func removeStale(ctx context.Context, spec wire.Listener) error {
	switch info, err := os.Lstat(spec.Address); {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&os.ModeSocket == 0:
		return errors.New("what is there is no socket: remove it, or listen elsewhere")
	}
	c, err := (&net.Dialer{}).DialContext(ctx, spec.Network, spec.Address)
	switch {
	case err == nil:
		_ = c.Close()
		return errors.New("another process answers there")
	case !errors.Is(err, syscall.ECONNREFUSED):
		return err
	}
	return os.Remove(spec.Address)
}

// open makes the socket, or uses the inherited one.
func (s *sockets) open(ctx context.Context, from *inherited, spec wire.Listener) (raw rawSocket, err error) {
	var ln net.Listener
	var pc net.PacketConn
	switch {
	case from != nil:
		switch fd := s.take(from); {
		case fd < 0:
			err = net.ErrClosed // the handover was given up meanwhile
		case spec.Packet:
			pc, err = platform.PacketConn(fd)
		default:
			ln, err = platform.Listener(fd)
		}
		if err != nil {
			err = fmt.Errorf("listen: adopt %s: %w", from.spec.Key(), err)
		}
	default:
		if ln, pc, err = s.bind(ctx, spec); errors.Is(err, syscall.EADDRINUSE) && isUnix(spec.Network) && !strings.HasPrefix(spec.Address, "@") {
			ln, pc, err = s.bindAnew(ctx, spec, err)
		}
	}
	switch {
	case err != nil:
		return nil, err
	case spec.Packet:
		return pc.(rawPacket), nil
	default:
		return ln.(rawListener), nil
	}
}

// take returns the descriptor of an inherited socket, owned by what is made of it, even if that fails; -1 where it was dropped.
func (s *sockets) take(from *inherited) (fd int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fd, from.fd = from.fd, -1
	return fd
}

// boundAddr is the address that a socket has in the kernel.
func boundAddr(raw rawSocket) net.Addr {
	if ln, ok := raw.(net.Listener); ok {
		return ln.Addr()
	}
	return raw.(net.PacketConn).LocalAddr()
}

// compareOptions reports socket options that the program's ListenConfig would have set otherwise: they stay as they are.
func (s *sockets) compareOptions(sock *socket) {
	if s.config.Control == nil {
		return
	}
	fresh, err := platform.ProbeSocket(family(sock), func(network, _ string, c syscall.RawConn) error {
		return s.config.Control(network, sock.spec.Address, c)
	})
	if err != nil {
		s.log.Warn("socket options not compared", "listener", sock.spec.Key(), "error", err)
		return
	}
	defer func() { _ = platform.CloseFD(fresh) }()
	fd, err := platform.FD(sock.raw)
	if err != nil {
		return
	}
	for _, difference := range platform.OptionDifferences(fd, fresh) {
		s.log.Warn("the listener keeps its socket option", "listener", sock.spec.Key(), "option", difference)
	}
}

// family is the network of a socket as its address has it: package net makes another socket for an IPv4 literal.
func family(sock *socket) string {
	network := sock.spec.Network
	bound, err := netip.ParseAddrPort(sock.spec.Bound)
	if (network == "tcp" || network == "udp") && err == nil && bound.Addr().Unmap().Is4() {
		return network + "4"
	}
	return network
}

// inherit takes ownership of sockets that Listen and ListenPacket may adopt.
func (s *sockets) inherit(offered []*inherited) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offered = append(s.offered, offered...)
}

// adopted returns the indices of the inherited sockets that the program took, and those that were made for it.
func (s *sockets) adopted() (taken []int, added []wire.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, in := range s.offered {
		if in.adopted {
			taken = append(taken, i)
		}
	}
	for _, m := range s.members {
		if m.from == nil && m.of == nil {
			added = append(added, m.spec)
		}
	}
	return taken, added
}

// dropUnadopted closes the inherited sockets that the program did not take.
func (s *sockets) dropUnadopted() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, in := range s.offered {
		if !in.adopted && in.fd >= 0 {
			_ = platform.CloseFD(in.fd)
			in.fd = -1 // for who is about to adopt it
		}
	}
	s.offered = nil
}
