//go:build debian

package systemd

import (
	"testing"

	"github.com/handover-go/handover/handovertest"
)

func TestSocketOfSystemdOutlivesUpgradesAndTheService(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]string{
		"unprivileged": "",
		// Who has CAP_NET_ADMIN could make the socket deaf, for systemd too.
		"privileged": "[Service]\nDynamicUser=no\nCapabilityBoundingSet=CAP_NET_ADMIN\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := boot(t).install(settings)
			s.run("systemctl", "start", socket)
			s.expect("ActiveState=inactive")
			for range 2 {
				load := s.drive() // its first connection starts the service
				s.await("ActiveState", "active")
				s.expect("NRestarts=0")
				for range 2 {
					load.answeredBy(s.upgrade())
				}
				handovertest.AssertNothingLost(t, load.stop())
				s.stop()
			}
		})
	}
}
