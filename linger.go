package handover

import (
	"errors"
	"os"
	"syscall"
	"time"

	"github.com/handover-go/handover/internal/idle"
	"github.com/handover-go/handover/internal/platform"
)

// lingerQuiet is how long the client of a connection that lingers must say nothing, once it has acknowledged all that was sent, for
// the connection to be closed: long enough for one that reads now and then to say so, short enough for a pool that does not look
// at its idle connections to hold up a generation no more than a last call does.
const lingerQuiet = lastCall

// linger ends a connection of HTTP/2 when the client has read what was sent. The client says as it reads how much more it could
// (WINDOW_UPDATE), and a kernel answers what comes for a closed socket with a reset and throws away what it has not sent yet: of
// an answer that was finished long ago, a slow reader would lose the rest. So this side ends its half, hears the client out, and
// closes then, as RFC 9112, section 9.6, has it for HTTP/1.1. Until then the connection counts as open, and the drain deadline
// cuts it as any other.
func (c *conn) linger() {
	defer c.ln.set.lingering.Done()
	if c.CloseWrite() == nil {
		c.hearOut()
	}
	c.ln.set.closed(c)
	_ = c.Conn.Close()
}

// hearOut reads what nobody wants any more, to the client's end. A read of the server's that is still under way ends with the
// deadline, or takes a part of that.
func (c *conn) hearOut() {
	for part := make([]byte, idle.BufferSize); ; {
		_ = c.Conn.SetReadDeadline(time.Now().Add(lingerQuiet))
		_, err := c.Conn.Read(part)
		if err == nil || errors.Is(err, os.ErrDeadlineExceeded) && c.unsent() {
			continue
		}
		return
	}
}

// unsent reports whether the client has yet to acknowledge something.
func (c *conn) unsent() bool {
	sc, ok := c.Conn.(syscall.Conn)
	return ok && platform.Unsent(sc)
}
