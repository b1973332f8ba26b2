//go:build linux

package traffic

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/certificate"
	"github.com/handover-go/handover/test/internal/client"
)

// TestHTTP1OverTLSIsAskedToLeaveAtItsNextAnswer: the connection cannot follow, and is not closed under its client: TLS by
// AttachTLS, and by a listener that the program wraps.
func TestHTTP1OverTLSIsAskedToLeaveAtItsNextAnswer(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"tls", "wrapped"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			isAskedToLeave(t, kind)
		})
	}
}

func isAskedToLeave(t *testing.T, kind string) {
	s, address, roots := startSecure(t, kind)
	first := s.PID()
	c, busy := dialTLS(t, address, roots, "http/1.1"), dialTLS(t, address, roots, "http/1.1")
	c.IsOf(first)
	post := startLines(busy)
	second := s.Next()
	c.StaysOpen(500 * time.Millisecond)
	c.IsAskedToLeave(first)
	post.wants(3) // asked before FINAL, it could not be asked to leave in its head
	post.finish()
	dialTLS(t, address, roots, "http/1.1").IsOf(second)
}

// TestEveryTLSClientResumesAcrossTenUpgrades: each has a ticket of the generation before, or of one before that, of either
// version of TLS. Guard: life.precopy, "l.Send(keys)"; without it nobody resumes after an upgrade.
func TestEveryTLSClientResumesAcrossTenUpgrades(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"tls", "wrapped"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s, address, roots := startSecure(t, kind)
			var clients []*resuming
			for i := range 20 {
				clients = append(clients, newResuming(t, address, roots, []uint16{tls.VersionTLS12, tls.VersionTLS13}[i%2]))
			}
			pid, resumed := s.PID(), 0
			for _, c := range clients {
				if c.answeredBy(pid) {
					t.Fatal("resumed before there was a session")
				}
			}
			const upgrades = 10
			for n := range upgrades {
				pid = s.Next()
				for i, c := range clients {
					if n < upgrades-1 && i%5 == n%5 {
						continue // stays away, with a ticket that grows old
					}
					if c.answeredBy(pid) {
						resumed++
					}
				}
			}
			want := upgrades*len(clients) - (upgrades-1)*len(clients)/5
			t.Logf("%d of %d reconnects over %d upgrades were resumed", resumed, want, upgrades)
			if resumed != want {
				t.Errorf("%d of %d reconnects were resumed", resumed, want)
			}
		})
	}
}

// TestTicketsOfABuildThatWasTakenBackAreHonoured: what it has issued in probation is worth as much as any other.
func TestTicketsOfABuildThatWasTakenBackAreHonoured(t *testing.T) {
	t.Parallel()
	s, address, roots := startSecure(t, "tls", "HANDOVER_PROBATION=1m")
	first := s.PID()
	old, c := newResuming(t, address, roots, tls.VersionTLS13), newResuming(t, address, roots, tls.VersionTLS13)
	old.answeredBy(first)
	proving, resumed := s.WatchFor(`msg="serving on probation"`), s.WatchFor(`msg="successor taken back: this generation serves again"`)
	s.Signal(first, sigUpgrade)
	s.Line(proving, "no successor serves")
	bad := c.answering()
	if bad == first {
		t.Fatal("the incumbent answers while it stands by")
	}
	if !old.answeredBy(bad) {
		t.Error("a ticket of the incumbent was not honoured in probation")
	}
	s.Kill(bad)
	s.Line(resumed, "the incumbent does not resume")
	for range 3 {
		if !c.answeredBy(first) || !old.answeredBy(first) {
			t.Error("a ticket of the build that was taken back is not honoured")
		}
	}
}

// TestCertificateIsReplacedWithoutAnUpgrade in both ways in which it is done: two files, each renamed over the old one, and a
// link to a directory of both that is turned. Connections that are open go on.
func TestCertificateIsReplacedWithoutAnUpgrade(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, second, third := certificate.New(t, 1), certificate.New(t, 2), certificate.New(t, 3)
	first.Put(t, filepath.Join(dir, "1"))
	second.Put(t, filepath.Join(dir, "2"))
	live := filepath.Join(dir, "live")
	turn := func(to string) {
		t.Helper()
		if err := os.Symlink(to, live+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(live+".new", live); err != nil {
			t.Fatal(err)
		}
	}
	turn("1")
	roots := certificate.Pool(first, second, third)
	address := handovertest.FreeAddress(t)
	s := startAt(t, handovertest.FreeAddress(t), ",tls:"+address, "TLS_CERT="+live+"/cert.pem", "TLS_KEY="+live+"/key.pem")
	pid := s.PID()
	presents(t, address, roots, 1)
	open := dialTLS(t, address, roots, "http/1.1")
	turn("2")
	presents(t, address, roots, 2)
	certificate.PutFile(t, filepath.Join(dir, "2", "cert.pem"), third.Cert)
	until(t, "a pair that does not match is not noticed", func() bool {
		presents(t, address, roots, 2)
		return strings.Contains(s.Output(100), `msg="the certificate stays as it was"`)
	})
	third.Put(t, filepath.Join(dir, "2"))
	presents(t, address, roots, 3)
	open.IsOf(pid)
	s.Next()
	presents(t, address, roots, 3)
}

// startTLS starts a service that speaks TLS at address, too.
func startTLS(t *testing.T, env ...string) (s *service, address string, roots *x509.CertPool) {
	t.Helper()
	return startSecure(t, "tls", env...)
}

// startSecure starts a service that speaks TLS in one of the ways that it knows.
func startSecure(t *testing.T, kind string, env ...string) (s *service, address string, roots *x509.CertPool) {
	t.Helper()
	c := certificate.New(t, 1)
	certFile, keyFile := c.Put(t, t.TempDir())
	roots, address = certificate.Pool(c), handovertest.FreeAddress(t)
	env = append(env, "TLS_CERT="+certFile, "TLS_KEY="+keyFile)
	s = startAt(t, handovertest.FreeAddress(t), fmt.Sprintf(",%s:%s", kind, address), env...)
	return s, address, roots
}

// presents waits until new connections are shown the certificate of that number.
func presents(t *testing.T, address string, roots *x509.CertPool, serial int64) {
	t.Helper()
	until(t, fmt.Sprintf("certificate %d is not presented", serial), func() bool {
		c := client.DialTLS(t, address, &tls.Config{RootCAs: roots}, patience)
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64() == serial
	})
}

// until asks again and again, as nothing tells.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for began := time.Now(); !holds(); <-again.C {
		if time.Since(began) > patience {
			t.Fatal(what)
		}
	}
}

// resuming is a client that makes a connection for every request, and remembers its session.
type resuming struct {
	t       *testing.T
	address string
	config  *tls.Config
	resumed bool // the last one
}

func newResuming(t *testing.T, address string, roots *x509.CertPool, version uint16) *resuming {
	return &resuming{t: t, address: address, config: &tls.Config{
		RootCAs: roots, NextProtos: []string{"http/1.1"}, MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(1),
	}}
}

// answering makes a connection, and asks who answers on it.
func (r *resuming) answering() (pid int) {
	r.t.Helper()
	c := client.DialTLS(r.t, r.address, r.config, patience)
	defer c.Close()
	r.resumed = c.ConnectionState().DidResume
	return c.Who()
}

func (r *resuming) answeredBy(pid int) (resumed bool) {
	r.t.Helper()
	if by := r.answering(); by != pid {
		r.t.Fatalf("answered by process %d; want %d", by, pid)
	}
	return r.resumed
}

func dialTLS(t *testing.T, address string, roots *x509.CertPool, protocol string) conn {
	t.Helper()
	return handshake(t, client.Dial(t, address, patience).Conn, roots, protocol)
}

func handshake(t *testing.T, raw net.Conn, roots *x509.CertPool, protocol string) conn {
	t.Helper()
	c, err := client.Handshake(t, raw, &tls.Config{RootCAs: roots, NextProtos: []string{protocol}}, patience)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.ConnectionState().NegotiatedProtocol; got != protocol {
		t.Fatalf("negotiated %q; want %q", got, protocol)
	}
	return conn{c}
}
