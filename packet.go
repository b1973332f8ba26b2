package handover

import (
	"context"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// rawPacket is what net.UDPConn and net.UnixConn have in common. They are net.Conns too, and libraries that read datagrams in
// batches (golang.org/x/net/ipv4) insist on that.
type rawPacket interface {
	ungated
	net.PacketConn
	net.Conn
	syscall.Conn
}

// ungated takes nothing from the queue, and so works in every generation that has the socket. Only what stands here is
// passed through: a way to read must not come past the gate.
type ungated interface {
	Write(b []byte) (int, error)
	WriteTo(b []byte, to net.Addr) (int, error)
	LocalAddr() net.Addr
	RemoteAddr() net.Addr
	SetWriteDeadline(t time.Time) error
	SetReadBuffer(bytes int) error
	SetWriteBuffer(bytes int) error
}

// packet is a datagram socket.
type packet struct {
	socket
	ungated
	kernel rawPacket // the socket's raw
}

func (p *packet) start(set *sockets, raw rawPacket, spec wire.Listener) {
	p.socket = socket{raw: raw, spec: spec, set: set, queue: p}
	p.ungated, p.kernel = raw, raw
	p.init(raw.SetReadDeadline, net.OpError{Op: "read", Net: spec.Network, Source: raw.LocalAddr()})
}

// ReadFrom implements net.PacketConn. While the gate is closed it waits.
func (p *packet) ReadFrom(b []byte) (n int, from net.Addr, err error) {
	err = p.through(nil, func() (err error) {
		n, from, err = p.kernel.ReadFrom(b)
		return err
	})
	return n, from, err
}

// Read is ReadFrom for who does not ask where a datagram comes from.
func (p *packet) Read(b []byte) (n int, err error) {
	err = p.through(nil, func() (err error) {
		n, err = p.kernel.Read(b)
		return err
	})
	return n, err
}

// SetReadDeadline implements net.PacketConn.
func (p *packet) SetReadDeadline(t time.Time) error { return p.setDeadline(t) }

// SetDeadline implements net.PacketConn.
func (p *packet) SetDeadline(t time.Time) error {
	if err := p.setDeadline(t); err != nil {
		return err
	}
	return p.SetWriteDeadline(t)
}

// SyscallConn gives access to the socket. Its Read waits at the gate, as ReadFrom does.
func (p *packet) SyscallConn() (syscall.RawConn, error) {
	raw, err := p.kernel.SyscallConn()
	if err != nil {
		return nil, err
	}
	return gatedConn{raw, &p.gate}, nil
}

type gatedConn struct {
	syscall.RawConn
	gate *gate
}

func (c gatedConn) Read(f func(fd uintptr) (done bool)) error {
	return c.gate.through(nil, func() error { return c.RawConn.Read(f) })
}

// takeQueued implements queue. The program reads as before, until all who read wait for a datagram and none is there, or it has
// asked for none in emptyWithin. No event tells of either: it is looked every emptyAfter. Looks are counted, not time, as a
// process that stood still has not declined to read.
func (p *packet) takeQueued(ctx context.Context) error {
	look := time.NewTicker(emptyAfter)
	defer look.Stop()
	seen, _ := p.progress()
	for idle := time.Duration(0); idle < emptyWithin; idle += emptyAfter {
		select {
		case <-look.C:
		case <-ctx.Done():
			return nil
		}
		passes, wanted := p.progress()
		if !wanted || p.inside.Load() > 0 && p.away.Load() == 0 && !platform.Queued(p.raw) {
			return nil
		}
		if passes != seen {
			seen, idle = passes, 0
		}
	}
	return nil
}

// ebb waits for the moment at which the kernel may be told to give the datagrams to others, until ctx ends. Where that changes the address
// which answers leave from, it is when the program waits for a datagram and none is there; and client is one who has
// the right address told. No event tells of either.
func (p *packet) ebb(ctx context.Context) (client netip.Addr) {
	if bound, err := netip.ParseAddrPort(p.spec.Bound); err == nil && !bound.Addr().IsUnspecified() {
		return client
	}
	look := time.NewTicker(ebbEvery)
	defer look.Stop()
	for began := time.Now(); ; {
		sender, queued := platform.NextSender(p.raw)
		if queued {
			client = sender
		}
		waits := p.inside.Load() > 0 && !queued
		if _, wanted := p.progress(); !wanted || waits && (client.IsValid() || time.Since(began) > emptyAfter) {
			return client
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return client
		}
	}
}

// progress tells how often the program has read until now, and whether it still may.
func (p *packet) progress() (passes uint, wanted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.passes, !p.released
}

// udpPacket is a UDP socket. What it has beyond net.PacketConn does as in *net.UDPConn, and allocates no more.
type udpPacket struct {
	packet
	udpUngated
	udp *net.UDPConn
}

type udpUngated interface {
	WriteToUDP(b []byte, to *net.UDPAddr) (int, error)
	WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error)
	WriteMsgUDP(b, oob []byte, to *net.UDPAddr) (n, oobn int, err error)
	WriteMsgUDPAddrPort(b, oob []byte, to netip.AddrPort) (n, oobn int, err error)
}

func newUDPPacket(set *sockets, raw *net.UDPConn, spec wire.Listener) *udpPacket {
	p := &udpPacket{udpUngated: raw, udp: raw}
	p.start(set, raw, spec)
	return p
}

func (p *udpPacket) ReadFromUDP(b []byte) (n int, from *net.UDPAddr, err error) {
	err = p.through(nil, func() (err error) {
		n, from, err = p.udp.ReadFromUDP(b)
		return err
	})
	return n, from, err
}

func (p *udpPacket) ReadFromUDPAddrPort(b []byte) (n int, from netip.AddrPort, err error) {
	err = p.through(nil, func() (err error) {
		n, from, err = p.udp.ReadFromUDPAddrPort(b)
		return err
	})
	return n, from, err
}

func (p *udpPacket) ReadMsgUDP(b, oob []byte) (n, oobn, flags int, from *net.UDPAddr, err error) {
	err = p.through(nil, func() (err error) {
		n, oobn, flags, from, err = p.udp.ReadMsgUDP(b, oob)
		return err
	})
	return n, oobn, flags, from, err
}

func (p *udpPacket) ReadMsgUDPAddrPort(b, oob []byte) (n, oobn, flags int, from netip.AddrPort, err error) {
	err = p.through(nil, func() (err error) {
		n, oobn, flags, from, err = p.udp.ReadMsgUDPAddrPort(b, oob)
		return err
	})
	return n, oobn, flags, from, err
}

// unixPacket is a unixgram socket. What it has beyond net.PacketConn does as in *net.UnixConn.
type unixPacket struct {
	packet
	unixUngated
	unix *net.UnixConn
}

type unixUngated interface {
	WriteToUnix(b []byte, to *net.UnixAddr) (int, error)
	WriteMsgUnix(b, oob []byte, to *net.UnixAddr) (n, oobn int, err error)
}

func newUnixPacket(set *sockets, raw *net.UnixConn, spec wire.Listener) *unixPacket {
	p := &unixPacket{unixUngated: raw, unix: raw}
	p.start(set, raw, spec)
	return p
}

func (p *unixPacket) ReadFromUnix(b []byte) (n int, from *net.UnixAddr, err error) {
	err = p.through(nil, func() (err error) {
		n, from, err = p.unix.ReadFromUnix(b)
		return err
	})
	return n, from, err
}

func (p *unixPacket) ReadMsgUnix(b, oob []byte) (n, oobn, flags int, from *net.UnixAddr, err error) {
	err = p.through(nil, func() (err error) {
		n, oobn, flags, from, err = p.unix.ReadMsgUnix(b, oob)
		return err
	})
	return n, oobn, flags, from, err
}
