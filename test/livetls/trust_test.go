//go:build linux

package livetls

import (
	"crypto/tls"
	"path/filepath"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/certificate"
	"github.com/handover-go/handover/test/internal/rig"
)

// authorities are a file of those that the service trusts to name its clients, as each generation finds it.
type authorities struct {
	t    *testing.T
	file string
}

func (a *authorities) are(pairs ...certificate.Pair) {
	a.t.Helper()
	var all []byte
	for _, p := range pairs {
		all = append(all, p.Cert...)
	}
	certificate.PutFile(a.t, a.file, all)
}

// startMutual starts a service that knows its clients by those.
func startMutual(t *testing.T, mode string, env []string, pairs ...certificate.Pair) (*service, *authorities) {
	t.Helper()
	a := &authorities{t, filepath.Join(t.TempDir(), "authorities.pem")}
	a.are(pairs...)
	return start(t, append(env, "TLS_CLIENT_CA="+a.file, "TLS_CLIENT_AUTH="+mode)...), a
}

// as is a client with that certificate.
func as(t *testing.T, p certificate.Pair) func(*tls.Config) {
	pair := p.TLS(t)
	return func(c *tls.Config) { // whatever authorities the service names
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
}

// What /client says of clients: CERTIFICATES CHAINS NAME RESUMED EXPORTS.
const (
	knownHere  = "1 1 service false true"
	knownThere = "1 1 service false false" // keying material is not exported after a move
)

// TestClientThatTheNextBuildDoesNotTrustStays: its connection is declined, and its client asked to leave; one that both builds trust moves. What the next
// build refuses the one after it may take again. Guards: listener.admit, "l.trust.verify(up)"; sessions.anew, "s.unbind()".
func TestClientThatTheNextBuildDoesNotTrustStays(t *testing.T) {
	t.Parallel()
	one, both := certificate.New(t, 2), certificate.New(t, 3)
	s, trusted := startMutual(t, "require", nil, one, both)
	first := s.PID()
	stays, returns, moves := s.visit(as(t, one)), s.visit(as(t, one)), s.visit(as(t, both))
	for _, v := range []*visitor{stays, returns, moves} {
		if got := v.client(first); got != knownHere {
			t.Errorf("before: %q; want %q", got, knownHere)
		}
	}
	trusted.are(both)
	declined := []*handovertest.Watch{s.WatchFor(`msg="a session is declined"`), nil}
	second := s.Next()
	s.Line(declined[0], "nobody is declined")
	if got := moves.client(second); got != knownThere {
		t.Errorf("after: %q; want %q", got, knownThere)
	}
	stays.StaysOpen(200 * time.Millisecond)
	stays.Ask("/client")
	if resp, body := stays.Response(); !resp.Close || body == "" {
		t.Errorf("answered %q, Connection: close %t; want to be asked to leave", body, resp.Close)
	}
	returns.StaysOpen(100 * time.Millisecond)
	if _, err := s.tryVisit(as(t, one)); err == nil {
		if v, err := s.tryVisit(as(t, one)); err == nil { // TLS 1.3: the client is done before it is refused
			v.Ask("/")
			if rest, _ := v.Ended(); rest != "" {
				t.Errorf("a new connection is answered %q", rest)
			}
		}
	}

	trusted.are(one, both)
	third := s.Next()
	s.AwaitExit(first)
	s.AwaitExit(second)
	for _, v := range []*visitor{returns, moves} {
		if got := v.client(third); got != knownThere {
			t.Errorf("in the end: %q; want %q", got, knownThere)
		}
	}
}

// TestClientStaysWithWhoTrustsIt, while others move: where its certificate has expired, where the next build wants one of everybody or refuses by
// VerifyConnection. Nobody who is let in already is cut. Guard: listener.take, "s.Kept()"; without it the one that has expired is.
func TestClientStaysWithWhoTrustsIt(t *testing.T) {
	t.Parallel()
	t.Run("expired", func(t *testing.T) {
		t.Parallel()
		brief, long := certificate.Until(t, 2, time.Now().Add(time.Hour)), certificate.New(t, 3)
		clock := filepath.Join(t.TempDir(), "clock")
		s, _ := startMutual(t, "require", []string{"TLS_CLOCK=" + clock}, brief, long)
		first := s.PID()
		stays, moves := s.visit(as(t, brief)), s.visit(as(t, long))
		stays.IsOf(first)
		moves.IsOf(first)
		certificate.PutFile(t, clock, []byte("2h")) // for both processes
		s.declines(stays, moves, first)
	})
	t.Run("a certificate wanted", func(t *testing.T) {
		t.Parallel()
		known := certificate.New(t, 2)
		mode := filepath.Join(t.TempDir(), "mode")
		certificate.PutFile(t, mode, []byte("given"))
		s, _ := startMutual(t, mode, nil, known)
		first := s.PID()
		stays, moves := s.visit(), s.visit(as(t, known))
		stays.IsOf(first)
		moves.IsOf(first)
		certificate.PutFile(t, mode, []byte("require"))
		s.declines(stays, moves, first)
	})
	t.Run("VerifyConnection", func(t *testing.T) {
		t.Parallel()
		known := certificate.New(t, 2)
		s, _ := startMutual(t, "given", nil, known)
		first := s.PID()
		stays, moves := s.visit(as(t, known)), s.visit()
		stays.IsOf(first)
		moves.IsOf(first)
		s.Swap(rig.Build(t, "suspicious"))
		s.declines(stays, moves, first)
	})
}

// declines upgrades to a build that takes one connection, and not the other.
func (s *service) declines(stays, moves *visitor, first int) {
	s.t.Helper()
	declined := s.WatchFor(`msg="a session is declined"`)
	second := s.Next()
	s.Line(declined, "nobody is declined")
	moves.IsOf(second)
	stays.StaysOpen(100 * time.Millisecond)
	stays.IsAskedToLeave(first)
	s.AwaitExit(first)
}
