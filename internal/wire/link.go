package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Transport carries bytes and descriptors; platform.Socket is one.
type Transport interface {
	// Send writes all of p; fds, which stay the caller's, ride on its first byte.
	Send(p []byte, fds []int) error
	// Recv reads into p. The descriptors that came with these bytes are the caller's; lost reports that some did not
	// come (the table of descriptors is full) and that those which did were closed.
	Recv(p []byte) (n int, fds []int, lost bool, err error)
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
	// Readable reports whether Recv would return at once.
	Readable() bool
	// CloseRead makes Recv return what has come already, and then io.EOF.
	CloseRead() error
	Close() error
}

// ErrTooManyInFlight is what a transport answers when the kernel takes no more descriptors until some are received. Nothing was sent, the
// link is whole, and the same frame can be sent once the peer has read.
var ErrTooManyInFlight = errors.New("too many descriptors in flight")

// SendTimeout bounds how long a frame may take to enter the socket's buffer. Windows and acknowledgements keep that
// buffer from filling, so only a peer that has stopped reading for good meets it; the link is broken then.
const SendTimeout = 5 * time.Second

// Frame is a message as it came: with the attempt it belongs to and the descriptors that rode on it, which belong to
// whoever received the frame.
type Frame struct {
	Message
	Attempt     uint32
	Descriptors []int
	// Lost reports that descriptors named by the frame did not arrive; those that did were closed.
	Lost bool
}

// Link sends and receives frames. Any goroutine may send; one receives.
type Link struct {
	transport Transport
	closeFD   func(int) error

	send struct {
		sync.Mutex
		buf    []byte
		broken error
	}

	recv struct {
		buf  []byte // bytes that came and were not consumed
		fds  []int  // descriptors that came and that no frame has claimed
		lost bool   // the kernel could not deliver some
		few  bool   // the peer sent fewer than it had named
		skip bool   // a frame of a kind that is not known here
		tmp  []byte
		held atomic.Bool // buf is not empty, for those who do not receive
	}
}

// NewLink takes over t. closeFD closes a descriptor that nobody claims.
func NewLink(t Transport, closeFD func(int) error) *Link {
	l := &Link{transport: t, closeFD: closeFD}
	l.recv.tmp = make([]byte, 16<<10)
	return l
}

// Rest is what was received and not consumed: part of a frame at most, where the receiving goroutine was interrupted by a
// deadline. Who has stopped it may give the rest to Continue, on a link made of the same socket in another program.
func (l *Link) Rest() (buf []byte, fds []int) { return l.recv.buf, l.recv.fds }

// Continue puts what another link has received and not consumed before all that will be received.
func (l *Link) Continue(buf []byte, fds []int) {
	l.recv.buf, l.recv.fds = append(l.recv.buf, buf...), append(l.recv.fds, fds...)
	l.recv.held.Store(len(l.recv.buf) > 0)
}

// Send puts one frame on the link. The descriptors stay the caller's. After an error other
// than ErrTooManyInFlight nothing more can be sent: part of the frame may be on its way.
func (l *Link) Send(attempt uint32, m Message, fds ...int) error {
	return l.sendFrame(context.Background(), attempt, m, false, fds)
}

// SendUntil is Send that is given up when ctx ends. What was not sent by then is an error that wraps that of ctx; the link is broken if
// the frame was on its way.
func (l *Link) SendUntil(ctx context.Context, attempt uint32, m Message) error {
	return l.sendFrame(ctx, attempt, m, false, nil)
}

// SendCritical is Send of a frame that a receiver who does not know its kind must not skip.
func (l *Link) SendCritical(attempt uint32, m Message, fds ...int) error {
	return l.sendFrame(context.Background(), attempt, m, true, fds)
}

func (l *Link) sendFrame(ctx context.Context, attempt uint32, m Message, critical bool, fds []int) error {
	payload, err := encode(m)
	if err != nil {
		return fmt.Errorf("encode %s: %w", m.Kind(), err)
	}
	defer clear(payload) // there may be secrets in it, and memory lives long
	if len(payload) > MaxPayload || len(fds) > maxDescriptors {
		return fmt.Errorf("send %s: %w: %d bytes and %d descriptors", m.Kind(), ErrTooLarge, len(payload), len(fds))
	}
	l.send.Lock()
	defer l.send.Unlock()
	if l.send.broken != nil {
		return l.send.broken
	}
	if ctx.Err() != nil {
		return fmt.Errorf("send %s: %w", m.Kind(), ctx.Err())
	}
	h := header{kind: m.Kind(), critical: critical, descriptors: len(fds), attempt: attempt, length: len(payload)}
	l.send.buf = append(h.append(l.send.buf[:0]), payload...)
	defer func() { clear(l.send.buf) }()
	if err := l.transport.SetWriteDeadline(time.Now().Add(SendTimeout)); err != nil {
		l.send.broken = fmt.Errorf("send %s: %w", m.Kind(), err)
		return l.send.broken
	}
	release := l.interruptWith(ctx)
	err = l.transport.Send(l.send.buf, fds)
	release()
	if err != nil {
		if ctx.Err() != nil {
			err = errors.Join(ctx.Err(), err)
		}
		err = fmt.Errorf("send %s: %w", m.Kind(), err)
		if !errors.Is(err, ErrTooManyInFlight) {
			l.send.broken = err
		}
		return err
	}
	return nil
}

// interruptWith ends a Send of the transport when ctx ends, until released.
func (l *Link) interruptWith(ctx context.Context) (release func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		_ = l.transport.SetWriteDeadline(time.Unix(1, 0))
	})
	return func() {
		if !stop() {
			<-interrupted // or it would hit the next frame
		}
	}
}

// Receive waits for the next frame of a known kind. io.EOF means that the peer closed the link between two frames, which
// is no proof of its death. An error that wraps ErrCritical leaves the link usable for an answer; after any other it is
// broken.
func (l *Link) Receive() (Frame, error) {
	for {
		if err := l.fill(headerSize); err != nil {
			if errors.Is(err, io.EOF) && len(l.recv.buf) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return Frame{}, err
		}
		h, err := parseHeader(l.recv.buf)
		if err != nil {
			return Frame{}, err
		}
		if err := l.fill(headerSize + h.length); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return Frame{}, fmt.Errorf("receive %s: %w", h.kind, err)
		}
		payload := append([]byte(nil), l.recv.buf[headerSize:headerSize+h.length]...)
		rest := copy(l.recv.buf, l.recv.buf[headerSize+h.length:])
		clear(l.recv.buf[rest:])
		l.recv.buf = l.recv.buf[:rest]
		l.recv.held.Store(len(l.recv.buf) > 0)

		f := Frame{Attempt: h.attempt}
		f.Descriptors, f.Lost = l.claim(h.descriptors)
		f.Message, err = decode(h, payload)
		if err != nil {
			l.closeAll(f.Descriptors)
			clear(payload)
			if errors.Is(err, errUnknownKind) {
				l.recv.skip = true
				continue
			}
			return Frame{Message: f.Message, Attempt: h.attempt}, err
		}
		return f, nil
	}
}

// Skipped reports whether frames of a kind that is not known here have come: what they said has not been heard. It is for the receiving
// goroutine, and for who knows that it has ended.
func (l *Link) Skipped() bool { return l.recv.skip }

// Pending reports whether bytes of a frame are waiting, in the link or in the kernel. Only the receiving goroutine, or
// someone who has stopped it, may rely on false.
func (l *Link) Pending() bool { return l.recv.held.Load() || l.transport.Readable() }

// SetReceiveDeadline bounds Receive; the zero time removes the bound.
func (l *Link) SetReceiveDeadline(t time.Time) error { return l.transport.SetReadDeadline(t) }

// Finish ends Receive after what has come already: the peer is known to send nothing more.
func (l *Link) Finish() error { return l.transport.CloseRead() }

// Close closes the link, with what the kernel still queues for it. A Receive that waits returns an error.
func (l *Link) Close() error { return l.transport.Close() }

// Discard closes what was received and not claimed. The receiving goroutine calls it when it has done.
func (l *Link) Discard() {
	l.closeAll(l.recv.fds)
	l.recv.fds = nil
}

// fill reads until n bytes are buffered. It fails, then and ever after, once there are more descriptors than frames can name.
func (l *Link) fill(n int) error {
	for {
		if len(l.recv.fds) > 2*maxDescriptors {
			return fmt.Errorf("%w: %d descriptors that no frame names", ErrMalformed, len(l.recv.fds))
		}
		if len(l.recv.buf) >= n {
			return nil
		}
		m, fds, lost, err := l.transport.Recv(l.recv.tmp)
		l.recv.buf = appendWiping(l.recv.buf, l.recv.tmp[:m])
		clear(l.recv.tmp[:m])
		l.recv.held.Store(len(l.recv.buf) > 0)
		l.recv.fds = append(l.recv.fds, fds...)
		l.recv.lost = l.recv.lost || lost
		if err != nil {
			return err
		}
	}
}

// appendWiping is append that leaves nothing where the slice was.
func appendWiping(to, p []byte) []byte {
	if len(to)+len(p) <= cap(to) {
		return append(to, p...)
	}
	longer := append(make([]byte, 0, 2*(len(to)+len(p))), to...)
	clear(to)
	return append(longer, p...)
}

// claim takes n descriptors off the queue. After a loss the queue does not tell which is whose: all are closed, and every frame that names
// some is told, until no byte is left of what came. A descriptor comes with the first byte of its frame, so that the next is its
// own frame's; unless the peer does not keep to that.
func (l *Link) claim(n int) (fds []int, lost bool) {
	l.recv.few = l.recv.few || len(l.recv.fds) < n && !l.recv.lost
	if lost = n > 0 && (l.recv.lost || l.recv.few); lost {
		l.closeAll(l.recv.fds)
		l.recv.fds = nil
	} else if n > 0 {
		fds = append(fds, l.recv.fds[:n]...)
		l.recv.fds = append(l.recv.fds[:0], l.recv.fds[n:]...)
	}
	if l.recv.lost && len(l.recv.buf) == 0 {
		l.closeAll(l.recv.fds)
		l.recv.fds, l.recv.lost = nil, false
	}
	return fds, lost
}

func (l *Link) closeAll(fds []int) {
	for _, fd := range fds {
		_ = l.closeFD(fd)
	}
}
