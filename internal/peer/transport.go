package peer

import (
	"errors"
	"fmt"

	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// transport makes a platform.Socket what package wire wants of one.
type transport struct{ *platform.Socket }

func (t transport) Recv(p []byte) (n int, fds []int, lost bool, err error) {
	n, fds, err = t.Socket.Recv(p)
	if errors.Is(err, platform.ErrDescriptorsLost) {
		return n, fds, true, nil
	}
	return n, fds, false, err
}

func (t transport) Send(p []byte, fds []int) error {
	err := t.Socket.Send(p, fds)
	if errors.Is(err, platform.ErrTooManyInFlight) {
		return fmt.Errorf("%w: %w", wire.ErrTooManyInFlight, err)
	}
	return err
}

// NewLink makes a link of a connected socket, which it takes over.
func NewLink(s *platform.Socket) *wire.Link {
	return wire.NewLink(faulty(transport{s}), platform.CloseFD)
}

// CloseDescriptors closes what rode on a frame that nobody wants, and overwrites what it brought of connections.
func CloseDescriptors(f *wire.Frame) {
	if f == nil {
		return
	}
	for _, fd := range f.Descriptors {
		_ = platform.CloseFD(fd)
	}
	f.Descriptors = nil
	if m, ok := f.Message.(*wire.Conns); ok {
		for _, c := range m.Conns {
			c.Forget()
		}
	}
}
