package traffic

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/handover-go/handover"
)

// packetBuffer is the receive buffer of datagram sockets, in bytes: what it holds, a freeze may cost no more than waiting.
const packetBuffer = 4 << 20

// Packets answers datagrams at each of the addresses, as in "udp:127.0.0.1:0" or "unixgram:/path", with "PID GENERATION " and
// what came, once delay is over.
func Packets(ctx context.Context, p *handover.Process, addresses []string, delay time.Duration) error {
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
		go answerPackets(pc, p.Generation, delay)
	}
	return nil
}

// answerPackets ends, as the socket does, at the latest when Run returns.
func answerPackets(pc net.PacketConn, generation func() int, delay time.Duration) {
	var b [1000]byte
	for {
		n, from, err := pc.ReadFrom(b[:])
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				slog.Error("datagrams are read no more", "error", err)
			}
			return
		}
		<-time.After(delay)
		if _, err := pc.WriteTo(fmt.Appendf(nil, "%d %d %s", os.Getpid(), generation(), b[:n]), from); err != nil {
			slog.Error("datagram not answered", "datagram", string(b[:n]), "error", err)
		}
	}
}
