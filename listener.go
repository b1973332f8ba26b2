package handover

import (
	"context"
	"net"
	"syscall"
	"time"

	"github.com/handover-go/handover/internal/wire"
)

// rawListener is what net.TCPListener and net.UnixListener have in common.
type rawListener interface {
	net.Listener
	syscall.Conn
	SetDeadline(t time.Time) error
}

// listener is a listening socket. Connections that were given to this process come out of Accept whether or not the gate
// is open.
type listener struct {
	socket
	kernel rawListener // the socket's raw

	// kind of server behind it, set by Attach before Run and constant from then on. Only a plain HTTP/1.1 server can take
	// a migrated connection.
	plainHTTP bool
	given     []net.Conn // under mu
}

func newListener(set *sockets, raw rawListener, spec wire.Listener) *listener {
	l := &listener{socket: socket{raw: raw, spec: spec, set: set}, kernel: raw}
	l.queue = l
	l.init(raw.SetDeadline, net.OpError{Op: "accept", Net: spec.Network, Addr: raw.Addr()})
	return l
}

// Accept implements net.Listener. While the gate is closed it waits.
func (l *listener) Accept() (c net.Conn, err error) {
	err = l.through(func() bool {
		if len(l.given) == 0 {
			return false
		}
		c, l.given[0] = l.given[0], nil
		l.given = l.given[1:]
		return true
	}, func() error {
		raw, err := l.kernel.Accept()
		if err == nil {
			l.keepAlive(raw)
			c = l.set.wrap(l, raw)
		}
		return err
	})
	return c, err
}

// give makes c come out of Accept. It answers false, and c stays the caller's, when nobody will accept any more.
func (l *listener) give(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.released {
		return false
	}
	l.given = append(l.given, c)
	l.kickLocked()
	return true
}

// takeQueued implements queue: it gives the connections to the program.
func (l *listener) takeQueued(ctx context.Context) error {
	if err := l.park(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil {
		if err := l.kernel.SetDeadline(time.Now().Add(emptyAfter)); err != nil {
			return err
		}
		c, err := l.kernel.Accept()
		if err != nil {
			break
		}
		l.keepAlive(c)
		if given := l.set.wrap(l, c); !l.give(given) {
			_ = given.Close()
		}
	}
	return nil
}

// discard closes connections that nobody accepted.
func (l *listener) discard() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.given {
		_ = c.Close()
	}
	l.given = nil
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return l.kernel.Addr() }

// SyscallConn gives access to the listening socket.
func (l *listener) SyscallConn() (syscall.RawConn, error) { return l.kernel.SyscallConn() }
