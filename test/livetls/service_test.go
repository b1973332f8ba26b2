//go:build linux

package livetls

import (
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/secured"
)

// patience bounds every wait: none comes near it unless something is lost.
const patience = 20 * time.Second

// service is one whose HTTPS connections live on.
type service struct {
	*secured.Service
	t *testing.T
}

// start starts the service. What env says comes last, and so holds.
func start(t *testing.T, env ...string) *service {
	t.Helper()
	return &service{secured.Start(t, append([]string{"LIVETLS=1"}, env...)...), t}
}

// drive has clients of every kind ask over TLS, and returns once they are answered.
func (s *service) drive(l handovertest.Load) {
	s.t.Helper()
	l.Address, l.Ledger = s.Secure, s.Load().Ledger
	config := s.Trusts()
	if l.TLS != nil {
		config.MinVersion, config.MaxVersion = l.TLS.MinVersion, l.TLS.MaxVersion
	}
	l.TLS = config
	s.Drive(l)
	s.Answers(100)
}
