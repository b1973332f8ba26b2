//go:build linux

package livetls

import (
	"crypto/tls"
	"testing"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/count"
)

// slower has upgrades take turns with the slowest of the load's requests: a service refuses an upgrade while eight generations drain.
const slower = "HANDOVER_PROBATION=100ms"

// TestUpgradesOverTLSLoseNothing drives clients of every kind over TLS 1.3: their connections are never closed, and never asked to leave.
func TestUpgradesOverTLSLoseNothing(t *testing.T) {
	t.Parallel()
	s := start(t, slower)
	s.drive(handovertest.Load{CountPoliteCloses: true})
	s.Upgrade(count.Of(20, 200))
	t.Log(s.Finish())
}

// TestUpgradesOverTLS12LoseNothing: their connections cannot move; they are asked to leave, and nothing fails.
func TestUpgradesOverTLS12LoseNothing(t *testing.T) {
	t.Parallel()
	s := start(t, slower)
	s.drive(handovertest.Load{TLS: &tls.Config{MaxVersion: tls.VersionTLS12}})
	s.Upgrade(count.Of(5, 50))
	t.Log(s.Finish())
}
