//go:build debian

package livetls

import (
	"context"
	"sync"
	"testing"
)

// suites are those of TLS 1.3.
var suites = []string{"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}

// TestClientsKeepTheirConnections: Go, Python, a browser, curl, and openssl s_client, which renews its keys all the time.
func TestClientsKeepTheirConnections(t *testing.T) {
	t.Parallel()
	s := start(t)
	clients := []*client{{name: "net/http", run: s.netHTTP}, {name: "http.client", run: s.python}, {name: "Chromium", run: s.chromium}}
	for _, suite := range suites {
		clients = append(clients, s.openSSL(suite))
	}
	s.keep(append(clients, s.curls()...)...)
}

func TestCurlWithACertificateKeepsItsConnection(t *testing.T) {
	t.Parallel()
	s := startMutual(t)
	s.keep(s.curls()...)
}

func TestCurlWithoutTicketsKeepsItsConnection(t *testing.T) {
	t.Parallel()
	s := start(t, "TLS_NO_TICKETS=1")
	s.keep(s.curls()...)
}

// keep has each client ask all the time through the upgrades. The next begins once everyone was answered by the generation of the one before.
func (s *service) keep(clients ...*client) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	s.drive()
	asking, stop := context.WithCancel(ctx)
	defer stop()
	for _, c := range clients {
		c.begin(asking)
		running.Go(func() { c.end(c.run(ctx, c)) })
	}
	for n := range upgrades() + 1 {
		if n > 0 {
			s.Upgrade(1)
		}
		for _, c := range clients {
			if err := c.await(ctx, n+1); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	stop()
	running.Wait()
	for _, c := range clients {
		if c.err != nil {
			s.t.Errorf("%s: %v", c.name, c.err)
		}
		s.t.Logf("%s: %d questions, all answered on the one connection from %s", c.name, c.answered, c.first.Remote)
	}
	s.Finish()
}
