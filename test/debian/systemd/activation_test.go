//go:build debian

package systemd

import (
	"testing"

	"github.com/handover-go/handover/handovertest"
)

func TestSocketOfSystemdOutlivesUpgradesAndTheService(t *testing.T) {
	s := boot(t).install("")
	s.run("systemctl", "start", socket)
	s.expect("ActiveState=inactive")
	load := s.drive() // its first connection starts the service
	s.journal.await(0, "adopted", contains("Started "+unit), eventTimeout)
	for range 2 {
		load.answeredBy(s.upgrade())
	}
	handovertest.AssertNothingLost(t, load.stop())
	s.stop()

	load = s.drive()
	s.expect("ActiveState=active", "NRestarts=0")
	load.answeredBy(s.upgrade())
	handovertest.AssertNothingLost(t, load.stop())
	s.stop()
}
