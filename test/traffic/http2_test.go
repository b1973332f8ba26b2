//go:build linux

package traffic

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
)

// TestSilentConnectionWithH2CMigratesTwice: where a connection may yet speak HTTP/2, net/http reads its first bytes in
// another way, and what has said nothing moves all the same.
func TestSilentConnectionWithH2CMigratesTwice(t *testing.T) {
	t.Parallel()
	s := start(t, "H2C=1")
	first := s.PID()
	silent, idle, later := s.dial(), s.dial(), s.dial()
	idle.answeredBy(first)
	second := s.upgrade()
	s.AwaitExit(first) // the three have gone to the second generation
	third := s.upgrade()
	s.AwaitExit(second)
	silent.answeredBy(third)
	idle.answeredBy(third)
	beginHTTP2(later).awaits(frameSettings) // it speaks HTTP/2 with the third
}

// TestHTTP2WithPriorKnowledgeLosesNothing: its clients are told by GOAWAY, and go on elsewhere.
func TestHTTP2WithPriorKnowledgeLosesNothing(t *testing.T) {
	t.Parallel()
	s := start(t, "H2C=1")
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	s.losesNothing(transport, "http://"+s.address)
	s = start(t, "H2C=1", "HANDOVER_PROBATION="+probationOfGoAway.String())
	s.saysGoAwayAtFinal(s.dial())
}

// TestHTTP2OverTLSLosesNothing is the same with TLS, which cannot follow in HTTP/1.1 either.
func TestHTTP2OverTLSLosesNothing(t *testing.T) {
	t.Parallel()
	s, address, roots := startTLS(t)
	s.losesNothing(&http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}, "https://"+address)
	s, address, roots = startTLS(t, "HANDOVER_PROBATION="+probationOfGoAway.String())
	s.saysGoAwayAtFinal(dialTLS(t, address, roots, "h2"))
}

// TestHTTP1OverTLSIsAskedToLeaveAtItsNextAnswer: the connection cannot follow, and is not closed under its client.
func TestHTTP1OverTLSIsAskedToLeaveAtItsNextAnswer(t *testing.T) {
	t.Parallel()
	s, address, roots := startTLS(t)
	first := s.PID()
	c, busy := dialTLS(t, address, roots, "http/1.1"), dialTLS(t, address, roots, "http/1.1")
	c.get("/?id=1")
	if resp, body := c.answer(); resp.Close || !strings.HasPrefix(body, fmt.Sprintf("1 %d ", first)) {
		t.Fatalf("before the upgrade answered %q, Connection: close %t; want process %d", body, resp.Close, first)
	}
	post := startLines(busy)
	second := s.upgrade()
	c.staysOpen(500 * time.Millisecond)
	c.get("/?id=2")
	if resp, body := c.answer(); !resp.Close || !strings.HasPrefix(body, fmt.Sprintf("2 %d ", first)) {
		t.Fatalf("after FINAL answered %q, Connection: close %t; want process %d and to be asked to leave", body, resp.Close, first)
	}
	if rest, _ := c.ended(); rest != "" {
		t.Errorf("the connection brought %q; want its end", rest)
	}
	post.wants(3) // asked before FINAL, it could not be asked to leave in its head
	post.finish()
	dialTLS(t, address, roots, "http/1.1").answeredBy(second)
}

// startTLS starts a service that speaks TLS at address, too.
func startTLS(t *testing.T, env ...string) (s *service, address string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, content := range map[string][]byte{
		certFile: certPEM, keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(certPEM)
	address = handovertest.FreeAddress(t)
	s = startAt(t, handovertest.FreeAddress(t), ",tls:"+address, append(env, "TLS_CERT="+certFile, "TLS_KEY="+keyFile)...)
	return s, address, roots
}

func dialTLS(t *testing.T, address string, roots *x509.CertPool, protocol string) *client {
	t.Helper()
	c, err := tls.Dial("tcp", address, &tls.Config{RootCAs: roots, NextProtos: []string{protocol}})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.ConnectionState().NegotiatedProtocol; got != protocol {
		t.Fatalf("negotiated %q; want %q", got, protocol)
	}
	return newClient(t, c)
}

// Frame types of HTTP/2 (RFC 9113, section 6).
const (
	frameSettings = 4
	frameGoAway   = 7
)

// http2Conn is an HTTP/2 connection with nothing on it.
type http2Conn struct{ *client }

func beginHTTP2(c *client) http2Conn {
	c.t.Helper()
	c.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00") // and empty SETTINGS
	return http2Conn{c}
}

// awaits reads frames until one of that type comes, which it has to do before any GOAWAY.
func (c http2Conn) awaits(kind byte) {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	for {
		var header [9]byte
		if _, err := io.ReadFull(c.Reader, header[:]); err != nil {
			c.t.Fatalf("wait for a frame of type %d: %v", kind, err)
		}
		length := int64(binary.BigEndian.Uint32(append([]byte{0}, header[:3]...)))
		if _, err := io.CopyN(io.Discard, c.Reader, length); err != nil {
			c.t.Fatalf("half a frame: %v", err)
		}
		switch header[3] {
		case kind:
			return
		case frameGoAway:
			c.t.Fatalf("GOAWAY came before a frame of type %d", kind)
		}
	}
}

// saysGoAwayAtFinal upgrades a service whose probation is probationOfGoAway, with an HTTP/2 connection that asks nothing.
func (s *service) saysGoAwayAtFinal(c *client) {
	s.t.Helper()
	silent := beginHTTP2(c)
	silent.awaits(frameSettings)
	final := s.watch(`msg="handover final"`)
	s.Signal(s.PID(), sigUpgrade)
	silent.awaits(frameGoAway)
	told := time.Now()
	s.line(final, "the handover is not final")
	// The line is written before clients are told, and may be on its way. For one that was told earlier, when the handover
	// could still be taken back, it comes only at the end of probation.
	if early := time.Since(told); early > probationOfGoAway/2 {
		s.t.Errorf("GOAWAY came %s before FINAL", early)
	}
	c.ended()
}

const probationOfGoAway = 2 * time.Second
