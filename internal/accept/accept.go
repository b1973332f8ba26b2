// Package accept takes clients in at sockets by which a service, or an agent, is steered. Such a socket is there for as long as its process:
// a want that passes does not end it.
package accept

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"time"
)

// How long Each waits before it accepts again: from shortest, twice as long each time, to longest. They are those of net/http's Server.
const (
	shortest = 5 * time.Millisecond
	longest  = time.Second
)

// Each calls take, which owns the connection and returns soon, for everybody who connects at ln. It returns why there are no more:
// net.ErrClosed, os.ErrDeadlineExceeded where ln has a deadline, by which it is paused, or what ctx says. ctx interrupts a wait, and not
// Accept: who ends it does something to ln as well.
//
// Whatever else Accept may say passes: above all that no descriptor or no memory is free (EMFILE, ENFILE, ENOBUFS, ENOMEM, see accept(2)).
// Whoever connects meanwhile waits in the kernel's queue. It is logged when that begins, and with the first client after it.
func Each(ctx context.Context, ln net.Listener, log *slog.Logger, take func(net.Conn)) error {
	for wait := time.Duration(0); ; {
		c, err := ln.Accept()
		switch {
		case err == nil:
			if wait > 0 {
				log.Info("clients are taken in again", "address", ln.Addr().String())
				wait = 0
			}
			take(c)
			continue
		case errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrDeadlineExceeded):
			return err
		}
		if wait == 0 {
			log.Warn("nobody is taken in", "address", ln.Addr().String(), "error", err)
		}
		wait = min(max(2*wait, shortest), longest)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
