package agent

import (
	"context"
	"log/slog"
	"net"
	"sync"

	"github.com/handover-go/handover/internal/accept"
)

// door is a listener of the control API that outlives its servers: one serves while this generation of the agent does its work, and after
// a handover that was taken back the next one.
type door struct {
	net.Listener
	taken chan net.Conn
	ended chan struct{} // the listener has
	fault error         // why; valid once ended is closed
}

func newDoor(ctx context.Context, ln net.Listener, log *slog.Logger) *door {
	d := &door{Listener: ln, taken: make(chan net.Conn), ended: make(chan struct{})}
	go d.accept(ctx, log)
	return d
}

// accept takes clients in until the listener ends. One that nobody serves waits.
func (d *door) accept(ctx context.Context, log *slog.Logger) {
	defer close(d.ended)
	d.fault = accept.Each(ctx, d.Listener, log, func(c net.Conn) { d.taken <- c })
}

// lend is the listener for one server, which may close it.
func (d *door) lend() net.Listener { return &lent{door: d, closed: make(chan struct{})} }

type lent struct {
	*door
	closed chan struct{}
	once   sync.Once
}

func (l *lent) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, net.ErrClosed
	default:
	}
	select {
	case c := <-l.taken:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-l.ended:
		return nil, l.fault
	}
}

func (l *lent) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}
