//go:build linux

package livetls

import (
	"net"
	"strings"
	"testing"

	"github.com/handover-go/handover/test/internal/rig"
)

// flight is a connection whose client sends the end of its handshake together with what it says first.
type flight struct {
	net.Conn
	begun bool   // ClientHello has gone
	held  []byte // until it goes on
	goes  bool
}

func (f *flight) Write(p []byte) (int, error) {
	if !f.begun || f.goes {
		f.begun = true
		return f.Conn.Write(p)
	}
	f.held = append(f.held, p...)
	return len(p), nil
}

// TestRequestInTheLastFlightOfTheHandshakeIsCountedOnce: who sends a request behind it, of which a part is read with the handshake, is asked to leave where
// its connection cannot move. Guard: pass is called where bytes leave the kernel, and not for what was read with the handshake; without it the client is not taken to wait for
// its answers, ever, and stays until the drain deadline.
func TestRequestInTheLastFlightOfTheHandshakeIsCountedOnce(t *testing.T) {
	t.Parallel()
	s := start(t, "HANDOVER_DRAIN_TIMEOUT=1m")
	below := &flight{Conn: s.plain()}
	v, err := s.handshake(below, s.Trusts())
	if err != nil {
		t.Fatal(err)
	}
	v.Send("GET /?id=first HTTP/1.1\r\nHost: service\r\nCookie: %s\r\n\r\n", strings.Repeat("x", 3000)) // one read of a handshake has room for 2 KiB
	below.goes = true
	v.sends(below.held)
	first := s.PID()
	v.AnswerTo("first", first)
	stays := s.WatchFor("sessions stay here: the generation that serves does not take them")
	s.Swap(rig.Build(t, "drained"))
	s.Next()
	s.Line(stays, "its connection is not asked for")
	v.IsAskedToLeave(first)
}
