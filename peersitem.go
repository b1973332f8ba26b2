package handover

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"net"
	"slices"
	"sync"

	"github.com/handover-go/handover/internal/wire"
)

const (
	// peersItem names what is known of the peers of one socket among carried state. SPEC.md, section 4, says how it is written.
	peersItem   = "handover/peers"
	peersSchema = 1

	// peersChunk is how many bytes a chunk has, unless a single peer brings more: few enough for several to enter the buffer of a unix
	// socket at once (net.core.wmem_default is 208 KiB), so that one side writes while the other reads.
	peersChunk = 64 << 10

	// maxPeers bounds what one generation sends in a round, and the other holds until it is imported, chunkCost for each chunk included: as
	// much as still passes in the default FreezeTimeout (docs/traffic.md has the figures).
	maxPeers = 256 << 20

	// chunkCost is what it takes to hold a chunk beside its bytes: many small ones must not come past the bound.
	chunkCost = 128
)

// consignment is what is known of the peers of one socket, on its way to the link.
type consignment struct {
	network string                  // of the socket
	send    func(*wire.Carry) error // of each chunk, in order
	room    *int                    // bytes that may be sent yet, of all items

	mu    sync.Mutex
	chunk wire.Carry
	peers int
	bytes int
	over  error // what put answers from now on
}

func newConsignment(network, key, kind string, room *int, send func(*wire.Carry) error) *consignment {
	c := &consignment{network: network, send: send, room: room}
	c.chunk = wire.Carry{FirstChunk: true, Schema: peersSchema, Name: peersItem, Data: make([]byte, 0, peersChunk)}
	c.chunk.Data = appendShort(appendShort(c.chunk.Data, key), kind)
	return c
}

// put is what Export calls.
func (c *consignment) put(peer net.Addr, state []byte) error {
	if len(state) > MaxPeerState {
		return fmt.Errorf("state of peer %v: %d bytes, at most %d", peer, len(state), MaxPeerState)
	}
	address, err := packAddress(c.network, peer)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	size := 2 + len(address) + 4 + len(state)
	if c.over == nil && size+chunkCost > *c.room {
		c.over = fmt.Errorf("more than %d MiB are known of peers", maxPeers>>20)
	}
	if c.over == nil && len(c.chunk.Data)+size > peersChunk {
		c.flushLocked()
	}
	if c.over != nil {
		return c.over
	}
	*c.room -= size
	c.peers, c.bytes = c.peers+1, c.bytes+len(state)
	c.chunk.Data = appendShort(c.chunk.Data, address)
	c.chunk.Data = binary.BigEndian.AppendUint32(c.chunk.Data, uint32(len(state)))
	c.chunk.Data = append(c.chunk.Data, state...)
	return nil
}

// flushLocked sends the chunk, and begins the next.
func (c *consignment) flushLocked() {
	*c.room -= chunkCost
	c.over = c.send(&c.chunk)
	c.chunk.FirstChunk, c.chunk.Data = false, c.chunk.Data[:0]
}

// end sends what is left, unless Export has failed. Nothing is sent afterwards.
func (c *consignment) end(failed error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over == nil && failed == nil {
		c.chunk.LastChunk = true
		c.flushLocked()
	}
	if failed == nil {
		failed = c.over
	}
	c.over = errors.New("put was called when Export had ended")
	return failed
}

// delivery is what comes of peers from another generation: items that are whole, and one that is on its way.
type delivery struct {
	whole  []*parcel
	coming *parcel // nil: none
	bytes  int
	fault  error // nothing more is taken
}

// parcel is one item.
type parcel struct {
	to     *acquaintance // nil: nobody here knows it; it is passed over
	chunks [][]byte
	bytes  int
}

// take takes a chunk. An item that the next one follows before it was whole is dropped: its sender has given it up.
func (d *delivery) take(m *wire.Carry, find func(key, kind string) *acquaintance) {
	if d.fault == nil {
		d.fault = d.add(m, find)
	}
	if d.fault != nil {
		d.whole, d.coming, d.bytes = nil, nil, 0
	}
}

func (d *delivery) add(m *wire.Carry, find func(key, kind string) *acquaintance) error {
	data := m.Data
	if m.FirstChunk {
		d.drop()
		d.coming = &parcel{}
		if m.Schema == peersSchema { // another is not known here
			var key, kind []byte
			var ok bool
			if key, data, ok = cutShort(data); ok {
				kind, data, ok = cutShort(data)
			}
			if !ok {
				return fmt.Errorf("%w: no socket and kind", errPeers)
			}
			d.coming.to = find(string(key), string(kind))
		}
	}
	p := d.coming
	switch {
	case p == nil:
		return fmt.Errorf("%w: a chunk of no item", errPeers)
	case p.to != nil && slices.ContainsFunc(d.whole, func(other *parcel) bool { return other.to == p.to }):
		return fmt.Errorf("%w: %s came already", errPeers, p.to)
	case p.to != nil:
		if err := p.add(data); err != nil {
			return err
		}
		if d.bytes += len(data) + chunkCost; d.bytes > maxPeers {
			return fmt.Errorf("%w: more than %d MiB", errPeers, maxPeers>>20)
		}
	}
	if m.LastChunk {
		if p.to != nil {
			d.whole = append(d.whole, p)
		}
		d.coming = nil
	}
	return nil
}

var errPeers = errors.New("state of peers that cannot be read")

// drop lets go of what has come of the item on its way.
func (d *delivery) drop() {
	if d.coming != nil {
		d.bytes -= d.coming.bytes
		d.coming = nil
	}
}

// end takes what is whole; nothing is left.
func (d *delivery) end() (whole []*parcel, err error) {
	whole, err = d.whole, d.fault
	*d = delivery{}
	return whole, err
}

// add takes the peers of a chunk, which is the parcel's from now on.
func (p *parcel) add(data []byte) error {
	for rest := data; len(rest) > 0; {
		var err error
		if _, _, rest, err = cutPeer(p.to.socket.spec.Network, rest); err != nil {
			return err
		}
	}
	p.chunks, p.bytes = append(p.chunks, data), p.bytes+len(data)+chunkCost
	return nil
}

// peers are those in the parcel. That all of them can be read was seen when they came.
func (p *parcel) peers() iter.Seq2[net.Addr, []byte] {
	return func(yield func(net.Addr, []byte) bool) {
		for _, rest := range p.chunks {
			for len(rest) > 0 {
				var peer net.Addr
				var state []byte
				if peer, state, rest, _ = cutPeer(p.to.socket.spec.Network, rest); !yield(peer, state) {
					return
				}
			}
		}
	}
}

// cutPeer takes one peer off the front of b.
func cutPeer(network string, b []byte) (peer net.Addr, state, rest []byte, err error) {
	address, rest, ok := cutShort(b)
	if !ok || len(rest) < 4 {
		return nil, nil, nil, fmt.Errorf("%w: a peer ends too early", errPeers)
	}
	n := binary.BigEndian.Uint32(rest)
	if rest = rest[4:]; n > MaxPeerState || int(n) > len(rest) {
		return nil, nil, nil, fmt.Errorf("%w: %d bytes of one peer", errPeers, n)
	}
	peer, err = unpackAddress(network, address)
	return peer, rest[:n:n], rest[n:], err
}

// packAddress writes down the address of a peer of a socket of that network.
func packAddress(network string, peer net.Addr) (string, error) {
	switch a := peer.(type) {
	case *net.UDPAddr:
		if !isUnix(network) && a != nil && (len(a.IP) == net.IPv4len || len(a.IP) == net.IPv6len) && a.Port == int(uint16(a.Port)) {
			b := append([]byte{byte(len(a.IP))}, a.IP...)
			b = binary.BigEndian.AppendUint16(b, uint16(a.Port))
			return checkAddress(string(b) + a.Zone)
		}
	case *net.UnixAddr:
		if isUnix(network) && a != nil && a.Name != "" {
			return checkAddress(a.Name)
		}
	}
	return "", fmt.Errorf("peer %v (%T): not an address that a datagram of this socket comes from", peer, peer)
}

// maxAddress is more than any address has: that of UDP ends with the name of an interface, that of unixgram is a path.
const maxAddress = 255

func checkAddress(packed string) (string, error) {
	if len(packed) > maxAddress {
		return "", fmt.Errorf("address of a peer: %d bytes, at most %d", len(packed), maxAddress)
	}
	return packed, nil
}

// unpackAddress is the address that was written down, byte for byte: programs know peers by it.
func unpackAddress(network string, b []byte) (net.Addr, error) {
	if len(b) == 0 || len(b) > maxAddress {
		return nil, fmt.Errorf("%w: an address of %d bytes", errPeers, len(b))
	}
	if isUnix(network) {
		return &net.UnixAddr{Name: string(b), Net: network}, nil
	}
	n := int(b[0])
	if b = b[1:]; n != net.IPv4len && n != net.IPv6len || len(b) < n+2 {
		return nil, fmt.Errorf("%w: no address of UDP", errPeers)
	}
	return &net.UDPAddr{IP: b[:n:n], Port: int(binary.BigEndian.Uint16(b[n:])), Zone: string(b[n+2:])}, nil
}

func appendShort(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

// cutShort takes what appendShort has written off the front of b.
func cutShort(b []byte) (s, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if b = b[2:]; n > len(b) {
		return nil, nil, false
	}
	return b[:n:n], b[n:], true
}
