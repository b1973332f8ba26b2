//go:build linux

package livetls

import (
	"errors"
	"fmt"
	"testing"

	"github.com/handover-go/handover"
)

// TestSessionOverTLSTakesItsBytesAlong: state up to the bound that sessions without TLS have. One with more goes on where it is, is asked again, and follows when
// it has less. Guards: sessions.carry, "MaxCarrierState"; conn.Carry, "size".
func TestSessionOverTLSTakesItsBytesAlong(t *testing.T) {
	t.Parallel()
	s, address := startSessions(t)
	first := s.PID()
	full, over := s.dialLines(address, 1<<14), s.dialLines(address, 1<<14)
	pad := func(l *lines, n int) {
		t.Helper()
		if err := l.say(fmt.Sprint("pad ", n)); err != nil {
			t.Fatal(err)
		}
	}
	pad(full, handover.MaxSessionState)
	pad(over, handover.MaxSessionState+1)
	tooLong := s.WatchFor(`msg="session not let go"`, "at most 65536")
	second := s.Next()
	s.Line(tooLong, "the handler does not learn that its state is too long")
	over.isOf(t, first)
	pad(over, 0)
	s.AwaitExit(first)
	full.isOf(t, second)
	over.isOf(t, second)
	third := s.Replaced() // the state has arrived as it was sent
	full.isOf(t, third)
	if err := errors.Join(full.say("again"), over.say("again")); err != nil {
		t.Error(err)
	}
}
