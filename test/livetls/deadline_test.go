//go:build linux

package livetls

import (
	"testing"
	"time"

	"github.com/handover-go/handover/test/internal/client"
	"github.com/handover-go/handover/test/internal/due"
	"github.com/handover-go/handover/test/internal/rig"
)

// TestDeadlinesOfHTTPSHoldAcrossMoves holds connections over TLS to [due.AcrossUpgrades]. Guards:
//
// IdleTimeout: conn.leave, "wait: c.point.Left()".
//
// ReadHeaderTimeout and ReadTimeout shorter than idle: conn.hear, "c.Conn.SetReadDeadline(c.point.Deadline())" (else who asks late has no time
// for it), and newConn, "idle.Arrived" (else the idle connection is closed by the deadline for a head).
//
// ReadHeaderTimeout from the accept: conn.leave, "age: time.Since(c.accepted)". Without it the time for the first head begins anew at each arrival.
func TestDeadlinesOfHTTPSHoldAcrossMoves(t *testing.T) {
	t.Parallel()
	due.AcrossUpgrades(t, func(t *testing.T, env ...string) (*rig.Run, func() *client.Conn) {
		s := start(t, env...)
		return s.Run, func() *client.Conn { return s.visit().Conn }
	})
	t.Run("records that bring nothing prolong nothing", func(t *testing.T) {
		t.Parallel()
		const idle = 8 * time.Second
		s := start(t, "IDLE_TIMEOUT="+idle.String())
		asked := time.Now()
		empty := s.seals(s.PID())
		for range 2 {
			empty.sends(empty.data(""))
			s.Replaced()
		}
		empty.sends(empty.data(""))
		empty.saysNothing(time.Until(asked.Add(idle)))
		if typ, _, err := empty.hears(); err != nil || typ != typeAlert {
			t.Errorf("at its end it brings a record of type %d, %v", typ, err)
		}
		due.Between(t, "the idle connection closed", time.Since(asked), idle, idle+due.Noise)
	})
	t.Run("half a record is no byte of a head", func(t *testing.T) {
		t.Parallel()
		const header, whole = 2 * time.Second, 3 * time.Second
		s := start(t, "READ_HEADER_TIMEOUT="+header.String(), "READ_TIMEOUT="+whole.String(), "IDLE_TIMEOUT=-1s")
		first, v := s.PID(), s.visit()
		v.IsOf(first)
		s.Replaced()
		last := s.Replaced()
		v.StaysOpen(whole + 200*time.Millisecond) // past both deadlines, counted from the arrival
		sealed := v.records(client.Request("/?id=3"), 1<<14)
		v.sends(sealed[:20])
		v.StaysOpen(header + 200*time.Millisecond)
		v.sends(sealed[20:])
		v.AnswerTo("3", last)
	})
}
