// Command datagram answers each UDP datagram by "COUNT DATAGRAM", COUNT being how many have come from that peer, and goes on counting
// whatever build it is replaced by: what it knows of its peers travels with the socket. Build it anew at the same path, send SIGUSR2, and
// send on.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log"
	"net"
	"os"
	"strconv"
	"sync"

	"github.com/handover-go/handover"
)

// kind names the protocol and the format of the state: a build that writes its state otherwise uses another name.
const kind = "counts/1"

func main() {
	if err := serve(context.Background(), cmp.Or(os.Getenv("ADDR"), "127.0.0.1:8080")); err != nil {
		log.Fatal(err)
	}
}

func serve(ctx context.Context, address string) error {
	p, err := handover.New(ctx, handover.Config{})
	if err != nil {
		return err
	}
	conn, err := p.ListenPacket(ctx, "udp", address)
	if err != nil {
		return err
	}
	c := &counter{counts: make(map[string]int)}
	if err := p.CarryPeers(conn, kind, c); err != nil {
		return err
	}
	go c.answer(conn)
	return p.Run(ctx)
}

// counter is what this program knows of its peers.
type counter struct {
	mu     sync.Mutex
	counts map[string]int
}

func (c *counter) answer(conn net.PacketConn) {
	datagram := make([]byte, 64<<10)
	for {
		n, from, err := conn.ReadFrom(datagram)
		if errors.Is(err, net.ErrClosed) {
			return // another generation serves for good
		} else if err != nil {
			log.Print(err)
			continue
		}
		answer := fmt.Appendf(nil, "%d %s", c.count(from), datagram[:n])
		if _, err := conn.WriteTo(answer, from); err != nil {
			log.Print(err)
		}
	}
}

func (c *counter) count(peer net.Addr) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[peer.String()]++
	return c.counts[peer.String()]
}

// Export implements handover.Peers.
func (c *counter) Export(_ context.Context, put func(net.Addr, []byte) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for peer, count := range c.counts {
		addr, err := net.ResolveUDPAddr("udp", peer)
		if err != nil {
			return err
		}
		if err := put(addr, []byte(strconv.Itoa(count))); err != nil {
			return err
		}
	}
	return nil
}

// Import implements handover.Peers.
func (c *counter) Import(peers iter.Seq2[net.Addr, []byte]) error {
	counts := make(map[string]int)
	for peer, state := range peers {
		count, err := strconv.Atoi(string(state))
		if err != nil {
			return err
		}
		counts[peer.String()] = count
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts = counts
	return nil
}
