//go:build linux

package traffic

import (
	"testing"

	"github.com/handover-go/handover/test/internal/client"
	"github.com/handover-go/handover/test/internal/due"
	"github.com/handover-go/handover/test/internal/rig"
)

// TestIdleDeadlinesHoldAcrossMigration holds connections without TLS to [due.AcrossUpgrades]. Each guard named below was taken out once, and the subtest failed.
//
// IdleTimeout: idle.Point.correct, "case a.wait > 0", and conn.describe, which sets Wait. Without them nothing ever closes the connection, as
// the next process's net/http sees a new one, to which IdleTimeout does not apply.
//
// ReadHeaderTimeout and ReadTimeout shorter than idle: idle.Point.correct, "default: return time.Time{}" (else ReadHeaderTimeout closes the
// idle connection), and conn.hearLocked, "c.shift = time.Since(a.at)" (else a request that begins late is cut at its first byte).
//
// ReadHeaderTimeout from the accept: given, "c.shift = -w.Age". Without it the time for the first head begins anew at each arrival.
func TestIdleDeadlinesHoldAcrossMigration(t *testing.T) {
	due.AcrossUpgrades(t, func(t *testing.T, env ...string) (*rig.Run, func() *client.Conn) {
		s := start(t, env...)
		return s.Run, func() *client.Conn { return s.dial().Conn }
	})
}
