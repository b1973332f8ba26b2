package traffic

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"iter"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/handover-go/handover"
)

// PeersFlaw is how a build treats what it knows of peers.
type PeersFlaw string

// The flaws.
const (
	PeersWell       PeersFlaw = ""
	PeersStrange    PeersFlaw = "strange"    // it knows another kind
	PeersUnreadable PeersFlaw = "unreadable" // it cannot import
	PeersEndless    PeersFlaw = "endless"    // it never ends exporting
	PeersMute       PeersFlaw = "mute"       // it cannot export
)

// peersDelay is how long after a datagram was read its peer's count changes: what a handover forgets to wait for is seen.
const peersDelay = 500 * time.Microsecond

// CountPeers answers datagrams at each of the addresses, as in "udp:127.0.0.1:0", with "PID GENERATION COUNT " and what came: COUNT is how
// many have come from that peer, whoever has read them. Those of UDP have a goroutine each, those of unixgram are answered by who reads them.
//
// The first generation knows as many peers more as filling says: it may be "20000x200", of so many bytes each. "?" is answered with "PID
// GENERATION KNOWN DIGEST" of these.
func CountPeers(ctx context.Context, p *handover.Process, addresses []string, filling string, flaw PeersFlaw) error {
	for _, at := range addresses {
		network, address, _ := strings.Cut(at, ":")
		pc, err := p.ListenPacket(ctx, network, address)
		if err != nil {
			return err
		}
		if network != "unixgram" {
			if err := pc.(interface{ SetReadBuffer(bytes int) error }).SetReadBuffer(packetBuffer); err != nil {
				return err
			}
		}
		c := &counter{conn: pc, process: p, flaw: flaw, peers: make(map[string]*counted), apart: network != "unixgram"}
		kind := "counts/1"
		if flaw == PeersStrange {
			kind = "counts/2"
		}
		if err := p.CarryPeers(pc, kind, c); err != nil {
			return err
		}
		if p.Generation() == 1 && filling != "" && c.apart {
			if err := c.fill(filling); err != nil {
				return err
			}
		}
		go c.answer()
	}
	return nil
}

// counter counts the datagrams of each peer.
type counter struct {
	conn    net.PacketConn
	process *handover.Process
	flaw    PeersFlaw
	apart   bool
	handled sync.WaitGroup // datagrams that were read

	mu    sync.Mutex
	peers map[string]*counted
}

type counted struct {
	addr  net.Addr
	state []byte // the count, and a filling
}

// answer ends, as the socket does, at the latest when Run returns.
func (c *counter) answer() {
	for {
		b := make([]byte, 1000)
		n, from, err := c.conn.ReadFrom(b)
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				slog.Error("datagrams are read no more", "error", err)
			}
			return
		}
		if c.apart {
			c.handled.Go(func() { c.handle(string(b[:n]), from) })
		} else {
			c.handle(string(b[:n]), from)
		}
	}
}

func (c *counter) handle(datagram string, from net.Addr) {
	<-time.After(peersDelay)
	says := ""
	if datagram == "?" {
		says = c.known()
	} else {
		says = fmt.Sprint(c.count(from), " ", datagram)
	}
	if _, err := c.conn.WriteTo(fmt.Appendf(nil, "%d %d %s", os.Getpid(), c.process.Generation(), says), from); err != nil {
		slog.Error("datagram not answered", "datagram", datagram, "error", err)
	}
}

func (c *counter) count(from net.Addr) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.peers[from.String()]
	if p == nil {
		p = &counted{from, make([]byte, 8)}
		c.peers[from.String()] = p
	}
	n := binary.BigEndian.Uint64(p.state) + 1
	binary.BigEndian.PutUint64(p.state, n)
	return n
}

// fill makes peers up, at addresses from which nobody sends.
func (c *counter) fill(filling string) error {
	var peers, size int
	if _, err := fmt.Sscanf(filling, "%dx%d", &peers, &size); err != nil {
		return fmt.Errorf("filling %q: %w", filling, err)
	}
	for i := range peers {
		state := make([]byte, max(size, 8))
		for at := range state {
			state[at] = byte(i * (at + 1))
		}
		addr := &net.UDPAddr{IP: net.IPv4(10, byte(i>>16), byte(i>>8), byte(i)).To4(), Port: 1 + i%65535}
		c.peers[addr.String()] = &counted{addr, state}
	}
	return nil
}

// known tells how many were made up, and what they are.
func (c *counter) known() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, digest := 0, uint64(0)
	for name, p := range c.peers {
		if strings.HasPrefix(name, "10.") {
			h := fnv.New64a()
			h.Write([]byte(name))
			h.Write(p.state)
			known, digest = known+1, digest+h.Sum64()
		}
	}
	return fmt.Sprint(known, " ", digest)
}

// Export implements handover.Peers.
func (c *counter) Export(_ context.Context, put func(net.Addr, []byte) error) error {
	switch c.flaw {
	case PeersEndless:
		select {}
	case PeersMute:
		return errors.New("this build does not tell what it knows")
	}
	c.handled.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.peers {
		if err := put(p.addr, p.state); err != nil {
			return err
		}
	}
	return nil
}

// Import implements handover.Peers.
func (c *counter) Import(peers iter.Seq2[net.Addr, []byte]) error {
	if c.flaw == PeersUnreadable {
		return errors.New("this build cannot read what it is told")
	}
	known := make(map[string]*counted)
	for addr, state := range peers {
		if len(state) < 8 {
			return fmt.Errorf("peer %s: %d bytes", addr, len(state))
		}
		known[addr.String()] = &counted{addr, state}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.peers = known
	return nil
}
