package handover

import (
	"log/slog"

	"github.com/handover-go/handover/internal/idle"
)

// kind is what a connection was doing when the drain deadline cut it.
type kind uint8

const (
	http1Active kind = iota // in a request of plain HTTP/1.1
	http1Idle               // between two, or before the first
	tlsActive               // the same over TLS, whatever its handshake has come to
	tlsIdle
	http2Active // with a stream open
	http2Idle
	wasHijacked // a handler has taken it over, as for WebSocket or CONNECT
	own         // accepted by a loop of the program's own
	following   // on its way to another generation, which has not answered
	kinds       = int(following) + 1
)

var kindNames = [kinds]string{
	"http1_active", "http1_idle", "tls_active", "tls_idle", "http2_active", "http2_idle", "hijacked", "own", "following",
}

// cuts counts connections that were closed under their clients, by what they were doing.
type cuts [kinds]int

func (c cuts) total() (n int) {
	for _, of := range c {
		n += of
	}
	return n
}

// attributes are those for the log; kinds of which there were none are left out.
func (c cuts) attributes() (all []any) {
	for i, n := range c {
		if n > 0 {
			all = append(all, slog.Int(kindNames[i], n))
		}
	}
	return all
}

// kind tells what the connection is doing.
func (c *conn) kind() kind {
	c.mu.Lock()
	defer c.mu.Unlock()
	busy := c.point.Phase == idle.Active
	switch {
	case c.point.Phase == idle.Foreign:
		return own
	case c.point.Phase == idle.Hijacked:
		return wasHijacked
	case c.inflow.http2:
		return either(busy, http2Active, http2Idle)
	case c.inflow.secure:
		return either(busy, tlsActive, tlsIdle)
	default:
		return either(busy, http1Active, http1Idle)
	}
}

func either(busy bool, active, idle kind) kind {
	if busy {
		return active
	}
	return idle
}
