package handover

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// rawListener is what net.TCPListener and net.UnixListener have in common.
type rawListener interface {
	net.Listener
	syscall.Conn
	SetDeadline(t time.Time) error
}

// listener is a listening socket with a gate before its queue. Closing the gate, parking, leaves the queue to whoever else
// holds the socket; connections that were given to this process come out of Accept whether or not the gate is open.
type listener struct {
	raw  rawListener
	spec wire.Listener
	set  *sockets
	from *inherited // where it came from, or nil

	// kind of server behind it, set by Attach before Run and constant from then on. Only a plain HTTP/1.1 server can take
	// a migrated connection.
	plainHTTP bool
	attached  bool
	emptying  bool // the loop of life has it emptied
	mu        sync.Mutex
	wake      *sync.Cond // on mu: the gate, given, closed or accepting changed
	open      bool       // the gate
	closed    bool       // Accept answers net.ErrClosed
	kicked    bool       // a deadline in the past stands on raw
	accepting int        // goroutines in raw.Accept
	given     []net.Conn
}

// past is a deadline that interrupts at once.
var past = time.Unix(1, 0)

func newListener(set *sockets, raw rawListener, spec wire.Listener) *listener {
	l := &listener{raw: raw, spec: spec, set: set}
	l.wake = sync.NewCond(&l.mu)
	return l
}

// Accept implements net.Listener. While the gate is closed it waits.
func (l *listener) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case len(l.given) > 0:
			c := l.given[0]
			l.given[0] = nil
			l.given = l.given[1:]
			return c, nil
		case l.closed:
			return nil, &net.OpError{Op: "accept", Net: l.spec.Network, Addr: l.raw.Addr(), Err: net.ErrClosed}
		case !l.open:
			l.wake.Wait()
			continue
		}
		c, err := l.acceptLocked()
		if err == nil {
			return l.set.wrap(l, c), nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, err
		}
	}
}

// acceptLocked takes one connection from the kernel's queue. A kick that comes while it waits ends it with
// os.ErrDeadlineExceeded, and no connection is taken then.
func (l *listener) acceptLocked() (net.Conn, error) {
	if l.kicked {
		l.kicked = false
		if err := l.raw.SetDeadline(time.Time{}); err != nil {
			return nil, err
		}
	}
	l.accepting++
	l.mu.Unlock()
	c, err := l.raw.Accept()
	l.mu.Lock()
	if l.accepting--; l.accepting == 0 {
		l.wake.Broadcast()
	}
	return c, err
}

// kickLocked gets every goroutine out of raw.Accept and out of its wait, to look again.
func (l *listener) kickLocked() {
	if l.accepting > 0 {
		l.kicked = true
		_ = l.raw.SetDeadline(past)
	}
	l.wake.Broadcast()
}

// openGate lets Accept take from the kernel's queue.
func (l *listener) openGate() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = true
	l.wake.Broadcast()
}

// park closes the gate and returns once no goroutine is in the kernel's accept: from then on this process takes no
// connection. On error, ctx ended first, the gate stays closed.
func (l *listener) park(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.wake.Broadcast()
	})
	defer stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = false
	l.kickLocked()
	for l.accepting > 0 && ctx.Err() == nil {
		l.wake.Wait()
	}
	if l.accepting > 0 {
		return ctx.Err()
	}
	return nil
}

// give makes c come out of Accept. It answers false, and c stays the caller's, when nobody will accept any more.
func (l *listener) give(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.given = append(l.given, c)
	l.kickLocked()
	return true
}

// release ends Accept with net.ErrClosed, but holds the socket: a generation that leaves keeps it until it has gone.
func (l *listener) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.kickLocked()
}

// Close implements net.Listener. Once another generation serves, the socket itself stays open until this one has gone.
func (l *listener) Close() error {
	l.release()
	if l.set.handedOver.Load() {
		return nil
	}
	l.set.forget(l)
	return l.closeSocket()
}

// empty stops listening with nothing lost: it takes what is queued, and lets nothing new in meanwhile. A socket that
// someone outside the service holds as well keeps its queue. The path of a unix socket goes with the last who listens.
func (l *listener) empty(ctx context.Context) error {
	if err := l.park(ctx); err != nil {
		return err
	}
	if l.spec.Shared {
		return l.closeSocket()
	}
	if fd, err := platform.FD(l.raw); err == nil {
		_ = platform.Deafen(fd) // a unix socket has no handshakes under way
	}
	for until := time.Now().Add(emptyWithin); time.Now().Before(until); {
		if err := l.raw.SetDeadline(time.Now().Add(emptyAfter)); err != nil {
			return err
		}
		c, err := l.raw.Accept()
		if err != nil {
			break
		}
		if given := l.set.wrap(l, c); !l.give(given) {
			_ = given.Close()
		}
	}
	if unix, ok := l.raw.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(true)
	}
	return l.closeSocket()
}

const (
	// emptyAfter is how long a listener must yield no client to be empty: handshakes that were under way have ended by
	// then where the client is near.
	emptyAfter = 50 * time.Millisecond
	// emptyWithin bounds the emptying where new clients cannot be kept out (platform.Deafen says where).
	emptyWithin = time.Second
)

// closeSocket closes this process's descriptor of the socket. Accept goes on to return what is given.
func (l *listener) closeSocket() error {
	if err := l.raw.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
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
func (l *listener) Addr() net.Addr { return l.raw.Addr() }

// SyscallConn gives access to the listening socket.
func (l *listener) SyscallConn() (syscall.RawConn, error) { return l.raw.SyscallConn() }
