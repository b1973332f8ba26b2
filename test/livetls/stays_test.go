//go:build linux

package livetls

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/test/internal/certificate"
	"github.com/handover-go/handover/test/internal/client"
	"github.com/handover-go/handover/test/internal/due"
)

// TestConnectionsThatCannotMoveAreDrained as those of AttachTLS alone are: over TLS 1.2, where the program has a key log, of a client with more
// certificates than can go along, and HTTP/2. Guards: unsuited, "c.KeyLogWriter != nil"; trace.establish, "return nil, whySize", "return nil, whyProtocol".
func TestConnectionsThatCannotMoveAreDrained(t *testing.T) {
	t.Parallel()
	for of, c := range map[string]struct {
		env     string
		version uint16
	}{
		"TLS 1.2":   {"TLS_KEY_LOG=", tls.VersionTLS12},
		"a key log": {"TLS_KEY_LOG=" + filepath.Join(t.TempDir(), "keys"), tls.VersionTLS13},
	} {
		t.Run(of, func(t *testing.T) {
			t.Parallel()
			s := start(t, c.env)
			first := s.PID()
			v := s.visit(func(config *tls.Config) { config.MaxVersion = c.version })
			if got := v.client(first); got != "0 0 - false true" {
				t.Errorf("the client is %q", got)
			}
			second := s.Next()
			v.StaysOpen(200 * time.Millisecond)
			v.IsAskedToLeave(first)
			s.AwaitExit(first)
			s.visit().IsOf(second)
		})
	}
	t.Run("too many certificates", func(t *testing.T) {
		t.Parallel()
		s := start(t, "TLS_CLIENT_AUTH=request")
		first := s.PID()
		pair := certificate.New(t, 2).TLS(t)
		pair.Certificate = slices.Repeat(pair.Certificate, 1+32<<10/len(pair.Certificate[0]))
		v := s.visit(func(c *tls.Config) {
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		})
		v.IsOf(first)
		s.Next()
		v.StaysOpen(100 * time.Millisecond)
		v.IsAskedToLeave(first)
		s.AwaitExit(first)
	})
	t.Run("HTTP/2", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		v := s.visit(func(c *tls.Config) { c.NextProtos = []string{"h2"} })
		v.Send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
		s.Next()
		const goAway = "\x07\x00\x00\x00\x00\x00" // its type, no flags, the connection
		if all, _ := v.Ended(); !strings.Contains(all, goAway) {
			t.Errorf("before its end %q; want GOAWAY", all)
		}
	})
}

// TestKeyLogOfTheProgramIsItsOwn: it has the secrets of every connection, and no connection moves.
func TestKeyLogOfTheProgramIsItsOwn(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "keys")
	s := start(t, "TLS_KEY_LOG="+file)
	s.visit().IsOf(s.PID())
	log, err := os.ReadFile(file)
	if err != nil || strings.Count(string(log), "CLIENT_TRAFFIC_SECRET_0 ") != 1 {
		t.Errorf("the key log holds %d bytes, %v; want the secrets of one connection", len(log), err)
	}
}

// TestConfigurationOfTheProgramHolds where GetConfigForClient chooses it: asked once a handshake, and once by each process to which the connection comes;
// sessions are resumed in later generations. A panic of it costs one connection. Guards: listener.handshake, "recover()"; listener.admit, "chains".
func TestConfigurationOfTheProgramHolds(t *testing.T) {
	t.Parallel()
	s := start(t, "TLS_CHOOSES=1")
	cache := tls.NewLRUClientSessionCache(10)
	caching := func(c *tls.Config) { c.ClientSessionCache = cache }
	chosen := s.WatchFor(`msg="configuration chosen"`)
	v := s.visit(caching)
	v.IsOf(s.PID())
	s.Line(chosen, "the program is not asked")
	if n := strings.Count(s.Output(100), `msg="configuration chosen"`); n != 1 {
		t.Errorf("asked %d times for one handshake", n)
	}
	for connections := 1; connections <= 3; connections++ {
		pid := s.Replaced()
		v.IsOf(pid)
		asked := 0
		s.Eventually(fmt.Sprintf("process %d asked about %d connections that come", pid, connections), func() (any, bool) {
			asked = strings.Count(s.Output(200), fmt.Sprintf(`msg="configuration chosen" pid=%d `, pid))
			return asked, asked >= connections
		})
		if asked != connections {
			t.Errorf("process %d is asked %d times about %d connections that come", pid, asked, connections)
		}
		again := s.visit(caching)
		if !again.ConnectionState().DidResume {
			t.Error("a session was not resumed")
		}
		again.IsOf(pid)
	}
	panicked := s.WatchFor("panic shaking hands")
	if v, err := s.tryVisit(func(c *tls.Config) { c.ServerName = "panic.test" }); err == nil {
		t.Errorf("shook hands with %s, and the program had panicked", v.RemoteAddr())
	}
	s.Line(panicked, "nobody says that it has panicked")
	v.IsOf(s.PID())
}

// TestTicketsAreTheProgramsWish: without them a connection moves as with them.
func TestTicketsAreTheProgramsWish(t *testing.T) {
	t.Parallel()
	s := start(t, "TLS_NO_TICKETS=1")
	v := s.visit(func(c *tls.Config) { c.ClientSessionCache = s.sessions() })
	if v.ConnectionState().DidResume {
		t.Error("a session was resumed")
	}
	for range 2 {
		v.IsOf(s.Replaced())
	}
}

// TestCertificateIsReplacedUnderLiveConnections: new ones see it, those that were there go on.
func TestCertificateIsReplacedUnderLiveConnections(t *testing.T) {
	t.Parallel()
	live, next := t.TempDir(), certificate.New(t, 2)
	certificate.New(t, 1).Put(t, live)
	s := start(t, "TLS_CERT="+live+"/cert.pem", "TLS_KEY="+live+"/key.pem")
	lax := func(c *tls.Config) { c.InsecureSkipVerify = true } //nolint:gosec // G402: which one it is, is the question
	v := s.visit(lax)
	v.IsOf(s.PID())
	next.Put(t, live)
	s.Eventually("the new certificate presented", func() (any, bool) {
		serial := s.visit(lax).ConnectionState().PeerCertificates[0].SerialNumber.Int64()
		return serial, serial == 2
	})
	pid := s.Replaced()
	v.IsOf(pid)
	fresh := s.visit(func(c *tls.Config) { c.RootCAs = certificate.Pool(next) })
	fresh.IsOf(pid)
}

// TestExporterEndsWithAMove: it works before, and answers with an error after.
func TestExporterEndsWithAMove(t *testing.T) {
	t.Parallel()
	s := start(t)
	v := s.visit()
	if got := v.client(s.PID()); got != "0 0 - false true" {
		t.Errorf("before: %q", got)
	}
	if got := v.client(s.Replaced()); got != "0 0 - false false" {
		t.Errorf("after: %q", got)
	}
}

// TestClientThatSpeaksHTTPIsToldSo by net/http.
func TestClientThatSpeaksHTTPIsToldSo(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.plain()
	_, _ = io.WriteString(c, client.Request("/"))
	b, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(b), "HTTP/1.0 400 Bad Request\r\n") {
		t.Errorf("answered %q, %v", b, err)
	}
}

// TestHandshakeHasItsTime: who says nothing, or half of a hello, is gone when it is over, and one that is slow is served though the handover is final
// meanwhile, by the process that accepted it or, as it says nothing yet, by the next. Guard: listener.shake, "raw.SetDeadline".
func TestHandshakeHasItsTime(t *testing.T) {
	t.Parallel()
	const limit = 7 * time.Second
	s := start(t, "READ_HEADER_TIMEOUT="+limit.String())
	first := s.PID()
	began := time.Now()
	silent, half := s.plain(), s.plain()
	_, _ = io.WriteString(half, "\x16\x03\x01\x02")
	type end struct {
		of  string
		b   []byte
		err error
		at  time.Time
	}
	ends := make(chan end, 2)
	for of, c := range map[string]net.Conn{"silent": silent, "half a header": half} {
		go func() {
			b, err := io.ReadAll(c)
			ends <- end{of, b, err, time.Now()}
		}()
	}
	slow := s.plain()
	begun, goOn := make(chan struct{}), make(chan struct{})
	shaken := make(chan error, 1)
	var v *visitor
	go func() {
		var err error
		v, err = s.handshake(&hesitant{Conn: slow, begun: begun, goOn: goOn}, s.Trusts())
		shaken <- err
	}()
	<-begun
	second := s.Next()
	close(goOn)
	if err := <-shaken; err != nil {
		t.Fatalf("the slow handshake: %v", err)
	}
	v.IsOf(second)
	for range cap(ends) {
		e := <-ends
		if len(e.b) > 0 || e.err != nil {
			t.Errorf("%s: %q, %v", e.of, e.b, e.err)
		}
		due.Between(t, e.of, e.at.Sub(began), limit, limit+due.Noise)
	}
	s.AwaitExit(first)
}

// hesitant says that it is about to write for the second time, its Finished, and waits.
type hesitant struct {
	net.Conn
	writes      int
	begun, goOn chan struct{}
}

func (h *hesitant) Write(p []byte) (int, error) {
	if h.writes++; h.writes == 2 {
		close(h.begun)
		<-h.goOn
	}
	return h.Conn.Write(p)
}
