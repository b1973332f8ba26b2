//go:build linux

package traffic

import (
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/client"
	"github.com/handover-go/handover/test/internal/rig"
)

// patience bounds every wait: none comes near it unless something is lost.
const patience = 20 * time.Second

// service is the service under test.
type service struct {
	*rig.Run
	t       *testing.T
	address string
}

// start starts the service. What env says comes last, and so holds.
func start(t *testing.T, env ...string) *service {
	t.Helper()
	return startAt(t, handovertest.FreeAddress(t), "", env...)
}

// startAt starts the service at address, and at more addresses that nobody is asked at for the process that serves.
func startAt(t *testing.T, address, more string, env ...string) *service {
	t.Helper()
	return startBuild(t, rig.Build(t, ""), "tcp", address, append([]string{"ADDR=" + address + more}, env...)...)
}

// startBuild starts that build of it, at an address of that network.
func startBuild(t *testing.T, executable, network, address string, env ...string) *service {
	t.Helper()
	s := &service{rig.New(t, rig.Patience{Test: 5 * time.Minute, Line: patience}), t, address}
	s.Start(handovertest.Service{
		Path: executable, Address: address, Network: network, ReadyTimeout: time.Minute, StopTimeout: time.Minute,
		Env: append([]string{"ADDR=" + address, "HANDOVER_PROBATION=20ms", "HANDOVER_DRAIN_TIMEOUT=1m"}, env...),
	})
	return s
}

// swapFlaw has the next generation be a build with that flaw, or a good one.
func (s *service) swapFlaw(flaw string) {
	s.t.Helper()
	s.Swap(rig.Build(s.t, flaw))
}

// lives reports whether that process of the service has not ended.
func (s *service) lives(pid int) bool {
	s.t.Helper()
	for _, p := range s.Family() {
		if p.PID == pid && p.State != "Z" {
			return true
		}
	}
	return false
}

// conn is one connection, used by one goroutine.
type conn struct{ *client.Conn }

func (s *service) dial() conn {
	s.t.Helper()
	return conn{client.Dial(s.t, s.address, patience)}
}

const (
	sigUpgrade = syscall.SIGUSR2
	sigEnd     = syscall.SIGTERM
)
