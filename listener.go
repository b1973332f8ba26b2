package handover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
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

// listener is a listening socket. Connections that were given to this process come out of Accept whether or not the gate
// is open.
type listener struct {
	socket
	kernel rawListener // the socket's raw

	// kind of server behind it, set by Attach before Run and constant from then on. Only a plain HTTP/1.1 server can take
	// a migrated connection.
	plainHTTP bool
	given     []net.Conn // under mu
	spares    []*spare   // of its group, which it accepts for; under mu
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
		if l.given = l.given[1:]; len(l.given) == 0 {
			l.wake.Broadcast()
		}
		return true
	}, func() error {
		raw, err := l.kernel.Accept()
		if err == nil {
			c = l.admit(raw)
		}
		return err
	})
	return c, err
}

// admit makes a connection that was accepted one of the service's.
func (l *listener) admit(raw net.Conn) *conn {
	l.keepAlive(raw)
	return l.set.wrap(l, raw)
}

// bring has a connection that was accepted come out of Accept.
func (l *listener) bring(raw net.Conn) {
	if c := l.admit(raw); !l.give(c) {
		_ = c.Close()
	}
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

// awaitAccepted waits until the program has accepted all that was given, or accepts no more.
func (l *listener) awaitAccepted() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.given) > 0 && !l.released {
		l.wake.Wait()
	}
}

// takeQueued implements queue: it gives the connections to the program. It waits for the spares, whose connections nobody would
// accept afterwards.
func (l *listener) takeQueued(ctx context.Context) error {
	if err := l.park(ctx); err != nil {
		return err
	}
	err := acceptQueued(ctx, l.kernel, l.bring)
	for _, sp := range l.inheritance() {
		err = errors.Join(err, sp.empty(ctx))
	}
	return err
}

// acceptQueued accepts until no connection comes for emptyAfter, or ctx ends. What cannot be accepted, as no descriptor is free, is tried again
// for emptyWithin, and is errQueued then: a queue that is closed resets whoever is in it.
func acceptQueued(ctx context.Context, kernel rawListener, give func(net.Conn)) error {
	var want error
	for waited := time.Duration(0); ctx.Err() == nil && waited < emptyWithin; {
		if err := kernel.SetDeadline(time.Now().Add(emptyAfter)); err != nil {
			return err
		}
		c, err := kernel.Accept()
		switch {
		case err == nil:
			give(c)
			want, waited = nil, 0
		case errors.Is(err, os.ErrDeadlineExceeded):
			if !platform.Readable(kernel) { // it is, where this process stood still
				return nil
			}
		case errors.Is(err, net.ErrClosed):
			return nil
		default:
			want = fmt.Errorf("%w: %w", errQueued, err)
			waited += emptyAfter
			select {
			case <-time.After(emptyAfter):
			case <-ctx.Done():
			}
		}
	}
	return want
}

// Close implements io.Closer. The spares, which nobody accepts for any longer, go with it.
func (l *listener) Close() error {
	for _, sp := range l.inheritance() {
		_ = sp.Close()
	}
	return l.socket.Close()
}

// inheritance are the spares that it accepts for.
func (l *listener) inheritance() []*spare {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.spares)
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
