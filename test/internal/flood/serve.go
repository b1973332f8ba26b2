package flood

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/handover-go/handover"
	"github.com/handover-go/handover/handovertest"
)

// Buffer is the receive buffer that the service asks for, in bytes.
const Buffer = 4 << 20

// socket is a UDP socket that is passed on, as its readers see it.
type socket interface {
	syscall.Conn
	ReadMsgUDPAddrPort(b, oob []byte) (n, oobn, flags int, from netip.AddrPort, err error)
}

// Serve is one generation of a service that reads datagrams at a UDP address, and answers who it is at a TCP address. It
// returns what it has read, once it has gone.
func Serve(ctx context.Context, tcp, udp string) (Read, error) {
	p, err := handover.New(ctx, handover.Config{})
	if err != nil {
		return Read{}, err
	}
	ln, err := p.Listen(ctx, "tcp", tcp)
	if err != nil {
		return Read{}, err
	}
	if err := p.Attach(&http.Server{Handler: handovertest.HandlerFor(p.Generation)}, ln); err != nil {
		return Read{}, err
	}
	pc, err := p.ListenPacket(ctx, "udp4", udp)
	if err != nil {
		return Read{}, err
	}
	read := Read{PID: os.Getpid()}
	if read.Buffer, err = prepare(pc.(socket)); err != nil {
		return Read{}, err
	}
	ended := make(chan error, 1)
	go func() { ended <- read.all(pc.(socket)) }()
	err = p.Run(ctx)
	read.Generation = p.Generation()
	return read, errors.Join(err, <-ended)
}

// prepare has the socket take Buffer bytes, beyond what a user may have where this is root (SO_RCVBUFFORCE), and count what it drops.
func prepare(s socket) (buffer int, err error) {
	raw, err := s.SyscallConn()
	if err != nil {
		return 0, err
	}
	var fault error
	err = raw.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, Buffer) != nil {
			fault = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, Buffer)
		}
		fault = errors.Join(fault, unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1))
		var e error
		buffer, e = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
		fault = errors.Join(fault, e)
	})
	return buffer, errors.Join(err, fault)
}

// all reads until there is nothing to be read any more.
func (r *Read) all(s socket) error {
	var b [2 * Size]byte
	oob := make([]byte, unix.CmsgSpace(4))
	for {
		n, oobn, _, _, err := s.ReadMsgUDPAddrPort(b[:], oob)
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			return err
		case n != Size:
			slog.Error("datagram of another size", "bytes", n)
			continue
		}
		r.add(int(binary.BigEndian.Uint64(b[:])))
		if oobn > 0 { // once something was dropped
			if r.Dropped, err = dropped(oob[:oobn]); err != nil {
				return err
			}
		}
	}
}

func dropped(oob []byte) (int, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0, err
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_RXQ_OVFL && len(m.Data) >= 4 {
			return int(binary.NativeEndian.Uint32(m.Data)), nil
		}
	}
	return 0, fmt.Errorf("%d bytes of ancillary data without SO_RXQ_OVFL", len(oob))
}
