package handover

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// runCheck runs the service's check on the generation that dial leads to.
func (p *Process) runCheck(ctx context.Context, dial DialFunc) (err error) {
	ctx, cancel := context.WithTimeout(ctx, p.config.CheckTimeout)
	defer cancel()
	failed := make(chan error, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				failed <- fmt.Errorf("check panicked: %v", r)
			}
		}()
		failed <- p.config.Check(ctx, dial)
	}()
	select {
	case err = <-failed:
		return err
	case <-ctx.Done():
		// A check that ignores its context is left behind: it must not hold up the verdict.
		return fmt.Errorf("check did not return in %s: %w", p.config.CheckTimeout, ctx.Err())
	}
}

// checked runs the service's check on this generation, and then waits for the keeper's, if there is one.
func (p *Process) checked(ctx context.Context, admission <-chan error) error {
	if p.config.Check != nil {
		if err := p.runCheck(ctx, p.dial); err != nil {
			return err
		}
	}
	if admission == nil {
		return nil
	}
	select {
	case err := <-admission:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// dial connects to a listener of this generation: the connection comes out of its Accept.
func (p *Process) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ln, err := p.dialled(network, address)
	if err != nil {
		return nil, err
	}
	ours, theirs, err := peer.Connected(ctx, ln.spec.Network)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", ln.spec.Key(), err)
	}
	if c := p.sockets.wrap(ln, theirs); !ln.give(c) {
		_ = ours.Close()
		_ = c.Close()
		return nil, fmt.Errorf("dial %s: %w", ln.spec.Key(), net.ErrClosed)
	}
	return ours, nil
}

// dialSuccessor connects to a listener of the successor, by PREVIEW.
func (l *life) dialSuccessor(ctx context.Context, network, address string) (net.Conn, error) {
	ln, err := l.process.dialled(network, address)
	if err != nil {
		return nil, err
	}
	ours, theirs, err := peer.Connected(ctx, ln.spec.Network)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", ln.spec.Key(), err)
	}
	defer func() { _ = theirs.Close() }()
	fd, err := platform.FD(theirs)
	if err == nil {
		err = errors.New("the successor does not listen there")
		l.call(func() {
			if l.attempt != nil && l.attempt.adopted[&ln.socket] {
				err = l.sent(&wire.Preview{Key: ln.spec.Key()}, fd)
			}
		})
	}
	if err != nil {
		_ = ours.Close()
		return nil, fmt.Errorf("dial %s: %w", ln.spec.Key(), err)
	}
	return ours, nil
}

// dialled finds the listener that a check means.
func (p *Process) dialled(network, address string) (*listener, error) {
	key := ""
	if network != "" || address != "" {
		key = wire.Listener{Network: network, Address: address}.Key()
	}
	if ln := p.sockets.find(key); ln != nil {
		return ln, nil
	}
	return nil, fmt.Errorf("dial %s %s: Listen was not called with these, or the listener is closed", network, address)
}
