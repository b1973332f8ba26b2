//go:build debian

package livetls

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/certificate"
	"github.com/handover-go/handover/test/internal/count"
	"github.com/handover-go/handover/test/internal/secured"
)

// patience bounds a test, which does not come near it unless something is lost.
const patience = 5 * time.Minute

// upgrades is how many each client goes through.
func upgrades() int { return count.Of(20, 100) }

// service is one whose HTTPS connections live on.
type service struct {
	*secured.Service
	t     *testing.T
	known *identity // whose certificate it asks for, nil if it asks for none
}

// identity is that of a client.
type identity struct {
	certificate.Pair
	certFile, keyFile string
}

func start(t *testing.T, env ...string) *service {
	t.Helper()
	return &service{Service: secured.Start(t, append([]string{"LIVETLS=1"}, env...)...), t: t}
}

// startMutual starts a service that asks for a client's certificate.
func startMutual(t *testing.T) *service {
	t.Helper()
	known := &identity{Pair: certificate.New(t, 2)}
	known.certFile, known.keyFile = known.Put(t, t.TempDir())
	s := start(t, "TLS_CLIENT_CA="+known.certFile)
	s.known = known
	return s
}

// trusts is the configuration of a client.
func (s *service) trusts() *tls.Config {
	c := s.Trusts()
	if s.known != nil {
		c.Certificates = []tls.Certificate{s.known.TLS(s.t)}
	}
	return c
}

// drive has strict clients ask over TLS as well.
func (s *service) drive() {
	s.t.Helper()
	load := s.Load()
	load.Address, load.TLS, load.CountPoliteCloses = s.Secure, s.trusts(), true
	load.Clients = handovertest.Clients{KeepAlive: 2, New: 1, Upload: 1, Pipelined: 1, Idle: 1}
	load.Think = [2]time.Duration{20 * time.Millisecond, 60 * time.Millisecond}
	s.Drive(load)
}
