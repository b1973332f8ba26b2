// Package secured runs the service under test where it speaks TLS.
package secured

import (
	"crypto/tls"
	"net"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/certificate"
	"github.com/handover-go/handover/test/internal/rig"
)

// Service answers at one address without TLS, and at another with it. Probation is short, and what has to drain gets a minute.
type Service struct {
	*rig.Run
	Plain, Secure string // addresses
	Pair          certificate.Pair
	Roots         string // a file: who trusts it trusts the service
}

// Start starts the service. What env says comes last, and so holds.
func Start(t *testing.T, env ...string) *Service {
	t.Helper()
	s := &Service{
		Run:   rig.New(t, rig.Patience{Test: 5 * time.Minute, Line: 20 * time.Second}),
		Plain: handovertest.FreeAddress(t), Secure: handovertest.FreeAddress(t), Pair: certificate.New(t, 1),
	}
	certFile, keyFile := s.Pair.Put(t, t.TempDir())
	s.Roots = certFile
	s.Run.Start(handovertest.Service{
		Path: rig.Build(t, ""), Address: s.Plain, ReadyTimeout: time.Minute, StopTimeout: time.Minute,
		Env: append([]string{
			"ADDR=" + s.Plain + ",tls:" + s.Secure, "TLS_CERT=" + certFile, "TLS_KEY=" + keyFile,
			"HANDOVER_PROBATION=20ms", "HANDOVER_DRAIN_TIMEOUT=1m",
		}, env...),
	})
	return s
}

// Trusts is the configuration of a client.
func (s *Service) Trusts() *tls.Config {
	host, _, _ := net.SplitHostPort(s.Secure)
	return &tls.Config{RootCAs: certificate.Pool(s.Pair), ServerName: host}
}
