package platform

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

var (
	// ErrTooManyInFlight: this user has more descriptors sent and not yet received than its RLIMIT_NOFILE allows
	// (ETOOMANYREFS; processes with CAP_SYS_RESOURCE or CAP_SYS_ADMIN are exempt). Nothing was sent; the same Send can
	// succeed once the receivers have read.
	ErrTooManyInFlight = errors.New("too many descriptors in flight")

	// ErrDescriptorsLost: the kernel dropped descriptors that a message carried (MSG_CTRUNC), in practice because the
	// receiver is at its RLIMIT_NOFILE. The bytes of the message are intact.
	ErrDescriptorsLost = errors.New("descriptors lost in transit")

	// ErrPartialSend: a Send failed after some of its bytes had left. The receiver waits for a rest that will not come,
	// so the link is broken. A Send that failed without it has sent nothing and may be repeated.
	ErrPartialSend = errors.New("message sent in part")
)

// MaxDescriptors is how many descriptors one message carries at most: SCM_MAX_FD in include/net/scm.h of the kernel,
// documented in unix(7).
const MaxDescriptors = 253

// Socket is one end of a connected unix stream socket that carries bytes and descriptors. One Send and one Recv may
// run at the same time; several Sends, or several Recvs, queue.
type Socket struct {
	conn *net.UnixConn
}

// Pair makes two connected ends: one for this process, one for exec.Cmd.ExtraFiles of a child, who opens it with
// NewSocket. The caller owns both, and closes remote once the child is started. Both are close-on-exec here.
func Pair() (local *Socket, remote *os.File, err error) {
	a, b, err := socketpair()
	if err != nil {
		return nil, nil, err
	}
	if local, err = NewSocket(a); err != nil {
		_ = CloseFD(b)
		return nil, nil, err
	}
	return local, os.NewFile(uintptr(b), "link"), nil
}

// SocketPair makes two connected ends within this process. The caller owns both.
func SocketPair() (a, b *Socket, err error) {
	x, y, err := socketpair()
	if err != nil {
		return nil, nil, err
	}
	if a, err = NewSocket(x); err != nil {
		_ = CloseFD(y)
		return nil, nil, err
	}
	if b, err = NewSocket(y); err != nil {
		_ = a.Close()
		return nil, nil, err
	}
	return a, b, nil
}

// UnixPair makes two connected stream sockets without a path. The caller owns both.
func UnixPair() (a, b *net.UnixConn, err error) {
	x, y, err := SocketPair()
	if err != nil {
		return nil, nil, err
	}
	return x.conn, y.conn, nil
}

// NewSocket takes ownership of an inherited or received descriptor, which must be a connected unix stream socket;
// it is closed on any error. A peer that has gone already is no error here: Recv answers io.EOF.
func NewSocket(fd int) (*Socket, error) {
	if err := checkStream(fd); err != nil {
		_ = CloseFD(fd)
		return nil, fmt.Errorf("use descriptor %d as a link: %w", fd, err)
	}
	c, err := Conn(fd)
	if err != nil {
		return nil, fmt.Errorf("use descriptor %d as a link: %w", fd, err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		_ = c.Close()
		return nil, fmt.Errorf("use descriptor %d as a link: it became a %T", fd, c)
	}
	return SocketFromConn(u), nil
}

// SocketFromConn takes over a stream connection dialled to, or accepted on, a takeover socket.
func SocketFromConn(c *net.UnixConn) *Socket { return &Socket{conn: c} }

// Send sends all of p. The descriptors ride on its first byte, so p must not be empty when there are some; there are
// at most MaxDescriptors, and they stay the caller's. The write deadline applies. Errors: ErrTooManyInFlight,
// ErrPartialSend, os.ErrDeadlineExceeded, net.ErrClosed, and what sendmsg(2) says.
func (s *Socket) Send(p []byte, fds []int) error {
	if len(fds) > MaxDescriptors {
		return fmt.Errorf("send %d descriptors in one message: at most %d fit", len(fds), MaxDescriptors)
	}
	if len(p) == 0 && len(fds) > 0 {
		return errors.New("send descriptors: they need a byte to ride on")
	}
	sent, err := send(s.conn, p, fds)
	switch {
	case err == nil:
		return nil
	case sent > 0:
		return fmt.Errorf("send %d of %d bytes: %w: %w", sent, len(p), ErrPartialSend, err)
	default:
		return fmt.Errorf("send %d bytes and %d descriptors: %w", len(p), len(fds), err)
	}
}

// Recv reads what is there, up to len(p) bytes, and waits for the read deadline if there is nothing. The descriptors
// belong to the caller and are close-on-exec from their first instant. They arrive no later than the byte they rode
// on, and no two messages' descriptors arrive in one Recv; bytes sent before theirs may precede them in p.
//
// At the end it answers io.EOF itself. With ErrDescriptorsLost the n bytes are valid, and those descriptors that did
// arrive have been closed. Other errors: os.ErrDeadlineExceeded, net.ErrClosed, and what recvmsg(2) says.
func (s *Socket) Recv(p []byte) (n int, fds []int, err error) {
	if len(p) == 0 {
		return 0, nil, errors.New("receive: empty buffer")
	}
	return recv(s.conn, p)
}

// Readable reports whether anything, be it data or the end, is queued and unread. It never waits, and no deadline
// hides what it sees: a reader whose deadline has expired asks it before it acts.
func (s *Socket) Readable() bool { return readable(s.conn) }

// SetReadDeadline ends pending and coming Recvs at t; the zero time means never.
func (s *Socket) SetReadDeadline(t time.Time) error { return s.conn.SetReadDeadline(t) }

// SetWriteDeadline ends pending and coming Sends at t; the zero time means never.
func (s *Socket) SetWriteDeadline(t time.Time) error { return s.conn.SetWriteDeadline(t) }

// CloseRead makes Recv return what has come already, and then io.EOF, whatever the peer does.
func (s *Socket) CloseRead() error { return s.conn.CloseRead() }

// SyscallConn lets PeerCredentials and FD take a Socket.
func (s *Socket) SyscallConn() (syscall.RawConn, error) { return s.conn.SyscallConn() }

// Close closes this end; pending Sends and Recvs return net.ErrClosed.
func (s *Socket) Close() error { return s.conn.Close() }
