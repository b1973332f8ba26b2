package handover

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
)

// MaxPeerState is how many bytes may travel for one peer of a datagram socket: as many as for a session, so that the longest is one
// frame. All that a generation knows of the peers of all its sockets is at most 256 MiB.
const MaxPeerState = 64 << 10

// Peers is what a program knows of the peers of a datagram socket: what it has learnt from their datagrams, and a generation that
// reads the socket after it needs to know. See [Process.CarryPeers].
//
// Its methods are called by the library, in goroutines of their own, never two at a time, and while this generation does not read the
// socket. They lock what they share with those who do: an Export that has been given up may still run when the socket is read again.
type Peers interface {
	// Export calls put for each peer. The peer's address is a *[net.UDPAddr], as [net.UDPConn]'s ReadFrom returns it, or a *[net.UnixAddr]
	// with a name; state is at most [MaxPeerState] bytes in the program's own format, and copied. put sends: it may wait, and returns an error
	// when the handover has come to an end; the address or state that it refuses is not sent, and Export may go on without it. It may be called
	// from any goroutine until Export returns.
	//
	// Export is called when nobody reads the socket any more, and every goroutine that has read a datagram is in its next read. So
	// what such a goroutine does itself before it reads again is done. Export waits for what it has others do, as handlers in goroutines of their
	// own, or their updates are lost.
	//
	// An error aborts the handover. ctx ends after [Config.FreezeTimeout], which aborts it as well, and when the handover comes to another
	// end; Export must return soon after, and none is called before it has. Where Export fails in a generation that is taken back, what
	// it has learnt is lost: the generation that resumes goes on with what it knew when it handed over.
	Export(ctx context.Context, put func(peer net.Addr, state []byte) error) error

	// Import replaces all that is known of peers by what the generation before has exported: each once for each of its calls of put, in
	// that order. Addresses are as they were put, states belong to the callee. Import is called before this generation reads the socket, and that
	// is not read before it has returned.
	//
	// On error, which aborts the handover, what was known stands: a generation that resumes goes on with that.
	Import(peers iter.Seq2[net.Addr, []byte]) error
}

// CarryPeers has what peers knows of the peers of conn travel with the socket: to the generation that reads it next, in the freeze of the
// handover, and back if that one is taken back in probation. conn came from [Process.ListenPacket], and is not wrapped.
//
// kind is 1 to 255 bytes long, and names the protocol together with the format of the state. To a build that has no such kind for that
// socket nothing is brought, and its peers begin anew: a build that cannot read what the one before writes registers another kind. One that can
// registers both, each with the Peers of its format; what travels, travels then for each. What a generation learns under a kind that the one
// before does not know is lost if it is taken back.
//
// One Peers is of one socket, as Import replaces all. A group by SO_REUSEPORT registers, with one of its sockets, what all of them know: the
// kernel sends a peer's datagrams to another socket when there are more or fewer.
//
// What a process knows is lost if it dies. CarryPeers must be called before Run; its other errors are a conn that is not p's, a kind that was
// registered for the socket already or is no name, and peers that are nil.
func (p *Process) CarryPeers(conn net.PacketConn, kind string, peers Peers) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running {
		return fmt.Errorf("carry peers %q: Run was called already", kind)
	}
	if err := p.acquaint(conn, kind, peers); err != nil {
		return fmt.Errorf("carry peers %q: %w", kind, err)
	}
	return nil
}

func (p *Process) acquaint(conn net.PacketConn, kind string, peers Peers) error {
	own := packetOf(conn)
	switch {
	case own == nil || own.set != p.sockets:
		return errors.New("the connection is not one that ListenPacket returned")
	case kind == "" || len(kind) > maxKind:
		return fmt.Errorf("a kind has 1 to %d bytes", maxKind)
	case peers == nil:
		return errors.New("no Peers")
	}
	for _, a := range p.acquaintances {
		if a.kind == kind && a.socket.base() == own.base() {
			return errors.New("it was registered for this socket already")
		}
	}
	p.acquaintances = append(p.acquaintances, &acquaintance{socket: &own.socket, kind: kind, peers: peers, busy: make(chan struct{}, 1)})
	return nil
}

func packetOf(conn net.PacketConn) *packet {
	switch own := conn.(type) {
	case *udpPacket:
		return &own.packet
	case *unixPacket:
		return &own.packet
	default:
		return nil
	}
}

// acquaintance is what the program knows of the peers of one socket, in one format.
type acquaintance struct {
	socket *socket
	kind   string
	peers  Peers
	busy   chan struct{} // has room for one: a call of peers is under way
}

// call has the program export or import: never two at a time, and waits for neither beyond ctx.
func (a *acquaintance) call(ctx context.Context, f func() error) error {
	select {
	case a.busy <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("the call before has not returned: %w", ctx.Err())
	}
	result := make(chan error, 1)
	go func() {
		defer func() { <-a.busy }()
		result <- f()
	}()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// idle waits until the program has returned from every call, as long as ctx lasts.
func (a *acquaintance) idle(ctx context.Context) error {
	select {
	case a.busy <- struct{}{}:
		<-a.busy
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// String names it for people.
func (a *acquaintance) String() string {
	return fmt.Sprintf("peers %q of %s", a.kind, a.socket.spec.Key())
}
