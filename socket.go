package handover

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// rawSocket is what the listeners and packet connections of package net have in common.
type rawSocket interface {
	syscall.Conn
	Close() error
}

// socket is one of the service's sockets, as a handover passes it on: a listener or a packet socket is built upon it. The
// gate stands before its queue.
type socket struct {
	gate
	raw   rawSocket
	spec  wire.Listener
	set   *sockets
	queue queue // what is built upon it
	origin

	attached bool // a server has it, which ends it; set by Attach before Run and constant from then on
	emptying bool // the loop of life has it emptied
	outlived bool // by others of its group (SO_REUSEPORT), when the loop of life has it emptied
	kept     bool // by a keeper that starts the service anew, when the loop of life has it emptied
	emptied  sync.Once
	fault    error // of emptying
}

// queue is what becomes of that which the kernel has queued when the service gives up a socket.
type queue interface {
	// takeQueued brings to the program what is queued. It returns when nothing is left, nobody wants it, or ctx ends; on
	// error, unless that is errQueued, the socket must not be closed yet.
	takeQueued(ctx context.Context) error
}

// Close implements io.Closer. Once another generation serves, the socket itself stays open until this one has gone.
func (s *socket) Close() error {
	s.release()
	if s.set.handedOver.Load() {
		return nil
	}
	s.set.forget(s)
	return s.closeSocket()
}

// empty closes the socket for good with nothing lost: what is queued is taken, and nothing new let in meanwhile. A socket
// that someone else holds as well, for a generation to come, keeps its queue. The path of a unix socket goes with the last who
// has it. Who empties it a second time waits for the first.
func (s *socket) empty(ctx context.Context) error {
	s.emptied.Do(func() { s.fault = s.takeAllAndClose(ctx) })
	return s.fault
}

func (s *socket) takeAllAndClose(ctx context.Context) error {
	if s.spec.Shared || s.kept {
		if err := s.park(ctx); err != nil {
			return err
		}
		s.answered(ctx)
		return s.closeSocket()
	}
	bounded, cancel := context.WithTimeout(ctx, emptyWithin)
	defer cancel()
	if err := s.keepOut(bounded); err != nil { // there may be no end to what comes
		ctx = bounded
	}
	left := s.queue.takeQueued(ctx)
	if left != nil && !errors.Is(left, errQueued) {
		return left
	}
	if path := s.spec.Bound; isUnix(s.spec.Network) && path != "" && !strings.HasPrefix(path, "@") {
		_ = os.Remove(path)
	}
	return errors.Join(left, s.closeSocket())
}

// errQueued: connections are left in the queue, which cannot be accepted. To hold the socket would have their clients wait for nobody.
var errQueued = errors.New("queued connections are reset")

// base is what stands for the socket in the kernel, which several may share.
func (s *socket) base() *socket {
	if s.of != nil {
		return s.of
	}
	return s
}

// outlives reports whether it is of the same group (SO_REUSEPORT) as other.
func (s *socket) outlives(other *socket) bool {
	return s.spec.Packet == other.spec.Packet && s.spec.Bound == other.spec.Bound
}

// keepOut has nothing new come into the queue. UDP sockets have the others of their group take their part.
func (s *socket) keepOut(ctx context.Context) error {
	fd, err := platform.FD(s.raw)
	if err != nil {
		return err
	}
	if p, ok := s.queue.(*packet); ok && s.outlived {
		return platform.LeaveGroup(fd, p.ebb(ctx))
	}
	return platform.Deafen(fd)
}

const (
	// emptyAfter is how long a socket must yield nothing to be empty: handshakes that were under way have ended by
	// then where the client is near.
	emptyAfter = 50 * time.Millisecond
	// ebbEvery is how often it is looked whether a socket is empty that is read at full speed.
	ebbEvery = 100 * time.Microsecond
	// emptyWithin bounds the emptying where new clients cannot be kept out (platform.Deafen says where), and the waits for
	// a program that reads no datagrams, or no more.
	emptyWithin = time.Second
)

// answered waits, once the gate is closed, until everyone who has read a datagram has come back for the next: who answers before that, has. One that does
// not come back is waited for no longer than emptyWithin.
func (s *socket) answered(ctx context.Context) {
	if _, ok := s.queue.(*packet); !ok {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, emptyWithin)
	defer cancel()
	_ = s.gate.answered(bounded)
}

// closeSocket closes this process's descriptor of the socket.
func (s *socket) closeSocket() error {
	if err := s.raw.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

func isUnix(network string) bool { return strings.HasPrefix(network, "unix") }
