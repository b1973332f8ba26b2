//go:build linux

package traffic

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/handover-go/handover/test/internal/journal"
)

// TestSilentConnectionWithH2CMigratesTwice: where a connection may yet speak HTTP/2, net/http reads its first bytes in
// another way, and what has said nothing moves all the same.
func TestSilentConnectionWithH2CMigratesTwice(t *testing.T) {
	t.Parallel()
	s := start(t, "H2C=1")
	first := s.PID()
	silent, idle, later := s.dial(), s.dial(), s.dial()
	idle.IsOf(first)
	s.Replaced() // the three have gone to the second generation
	third := s.Replaced()
	silent.IsOf(third)
	idle.IsOf(third)
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

// TestStreamThatCrossesGoAwayIsAnswered: a client that has not read GOAWAY yet begins another stream. Guard: server.leave,
// "s.http2.say(ctx)"; without it the stream is refused, for the client to repeat if it can.
func TestStreamThatCrossesGoAwayIsAnswered(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"unencrypted", "tls", "wrapped"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			var s *service
			var c http2Conn
			if kind == "unencrypted" {
				s = start(t, "H2C=1")
				c = beginHTTP2(s.dial())
			} else {
				secure, address, roots := startSecure(t, kind)
				s, c = secure, beginHTTP2(dialTLS(t, address, roots, "h2"))
			}
			first := s.PID()
			c.awaits(frameSettings)
			c.ask(1, "/?id=before")
			c.awaits(frameHeaders)
			s.Signal(first, sigUpgrade)
			c.awaits(frameGoAway)
			c.ask(3, "/?id=crossing") // as if it was still to be read
			c.awaits(frameHeaders)    // of stream 3
			c.awaits(frameGoAway)
			c.Ended()
			s.AwaitExit(first)
		})
	}
}

// Frame types of HTTP/2 (RFC 9113, section 6).
const (
	frameData     = 0
	frameHeaders  = 1
	frameSettings = 4
	frameGoAway   = 7
)

// http2Conn is an HTTP/2 connection with nothing on it.
type http2Conn struct{ conn }

func beginHTTP2(c conn) http2Conn {
	c.T.Helper()
	c.Send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00") // and empty SETTINGS
	return http2Conn{c}
}

// ask sends a request, in the words of HPACK that need no state (RFC 7541, appendix A).
func (c http2Conn) ask(stream byte, path string) {
	c.T.Helper()
	const get, scheme, pathName, authority = "\x82", "\x86", "\x04", "\x01"
	block := get + scheme + pathName + string(rune(len(path))) + path + authority + "\x07service"
	const endStreamAndHeaders = "\x05"
	c.Send("\x00\x00%c\x01%s\x00\x00\x00%c%s", len(block), endStreamAndHeaders, stream, block)
}

// awaits reads frames until one of that type comes, which it has to do before any GOAWAY.
func (c http2Conn) awaits(kind byte) {
	c.T.Helper()
	c.Hearing()
	for {
		var header [9]byte
		if _, err := io.ReadFull(c.Reader, header[:]); err != nil {
			c.T.Fatalf("wait for a frame of type %d: %v", kind, err)
		}
		length := int64(binary.BigEndian.Uint32(append([]byte{0}, header[:3]...)))
		if _, err := io.CopyN(io.Discard, c.Reader, length); err != nil {
			c.T.Fatalf("half a frame: %v", err)
		}
		switch header[3] {
		case kind:
			return
		case frameGoAway:
			c.T.Fatalf("GOAWAY came before a frame of type %d", kind)
		}
	}
}

// saysGoAwayAtFinal upgrades a service whose probation is probationOfGoAway, with an HTTP/2 connection that asks nothing.
func (s *service) saysGoAwayAtFinal(c conn) {
	s.t.Helper()
	silent := beginHTTP2(c)
	silent.awaits(frameSettings)
	pid := s.PID()
	draining := s.WatchFor("to=draining", journal.By(pid))
	s.Signal(pid, sigUpgrade)
	silent.awaits(frameGoAway)
	told := time.Now()
	// The line is written when the handover cannot be taken back any more, and before clients are told.
	if early := journal.Written(s.t, s.Line(draining, "the handover is not final")).Sub(told); early > 0 {
		s.t.Errorf("GOAWAY came %s before FINAL", early)
	}
	c.Ended()
}

const probationOfGoAway = 2 * time.Second
