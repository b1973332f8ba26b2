//go:build linux

package livetls

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/handover-go/handover/test/internal/client"
)

// hostile is what a client sends once its connection has moved, and the alert that it gets.
type hostile struct {
	of    string
	sent  func(c *sealer) []byte
	alert tls.AlertError
}

// Alerts (RFC 8446, section 6).
const (
	unexpectedMessage tls.AlertError = 10
	badRecordMAC      tls.AlertError = 20
	recordOverflow    tls.AlertError = 22
	decodeError       tls.AlertError = 50
	protocolVersion   tls.AlertError = 70
)

var hostiles = []hostile{
	{"tampered content", func(c *sealer) []byte { return flip(c.data(client.Request("/")), headerSize) }, badRecordMAC},
	{"tampered tag", func(c *sealer) []byte { return flip(c.data(client.Request("/")), -1) }, badRecordMAC},
	{"tampered length", func(c *sealer) []byte { return append(flip(c.data(client.Request("/")), 4), "more"...) }, badRecordMAC},
	{"tampered version", func(c *sealer) []byte { return flip(c.data(client.Request("/")), 2) }, protocolVersion},
	{"replayed", func(c *sealer) []byte { r := c.data("GET "); return slices.Concat(r, r) }, badRecordMAC},
	{"replayed from before the move", func(c *sealer) []byte { c.out.seq = 0; return c.data(client.Request("/?id=who")) }, badRecordMAC},
	{"reordered", func(c *sealer) []byte { a, b := c.data("GET "), c.data("/ "); return append(b, a...) }, badRecordMAC},
	{"left out", func(c *sealer) []byte { c.data("GET "); return c.data("/ ") }, badRecordMAC},
	{"of another connection", func(c *sealer) []byte {
		c.out, c.in = c.in, c.out
		defer func() { c.out, c.in = c.in, c.out }()
		return c.data(client.Request("/"))
	}, badRecordMAC},
	{"without a tag", func(*sealer) []byte { return []byte{typeApplication, 3, 3, 0, 0} }, badRecordMAC},
	{"more than a header may say", func(*sealer) []byte { return []byte{typeApplication, 3, 3, 0x41, 1} }, recordOverflow},
	{"too much content", func(c *sealer) []byte { return c.data(strings.Repeat("x", 1<<14+1)) }, recordOverflow},
	{"too much padding", func(c *sealer) []byte { return c.seal(typeApplication, "x", 1<<14) }, recordOverflow},
	{"padding alone", func(c *sealer) []byte { return c.seal(0, "", 300) }, unexpectedMessage},
	{"empty, again and again", func(c *sealer) []byte { return slices.Concat(repeat(17, func() []byte { return c.data("") })...) }, unexpectedMessage},
	{"empty and padded", func(c *sealer) []byte {
		return slices.Concat(repeat(17, func() []byte { return c.seal(typeApplication, "", 1000) })...)
	}, unexpectedMessage},
	{"a ClientHello", func(*sealer) []byte { return []byte{typeHandshake, 3, 1, 1, 0, 1} }, unexpectedMessage},
	{"a sealed ClientHello", func(c *sealer) []byte { return c.seal(typeHandshake, "\x01\x00\x01\x00", 0) }, unexpectedMessage},
	{"a key update of two bytes", func(c *sealer) []byte { return c.seal(typeHandshake, "\x18\x00\x00\x02\x00\x00", 0) }, decodeError},
	{"an unknown type", func(c *sealer) []byte { return c.seal(99, "x", 0) }, unexpectedMessage},
	{"change_cipher_spec", func(*sealer) []byte { return []byte{20, 3, 3, 0, 1, 1} }, unexpectedMessage},
	{"HTTP in the clear", func(*sealer) []byte { return []byte(client.Request("/")) }, unexpectedMessage},
}

func flip(record []byte, at int) []byte {
	record[(at+len(record))%len(record)] ^= 2
	return record
}

func repeat(n int, record func() []byte) (all [][]byte) {
	for range n {
		all = append(all, record())
	}
	return all
}

// TestHostileRecordsAfterAMove are answered by their alert and the end; the service goes on, and so do others' connections. The record layer's own
// tests have more of them: here they come where one process has left off and another goes on. Guard: record.Conn.open, "return 0, alertUnexpectedMessage".
func TestHostileRecordsAfterAMove(t *testing.T) {
	t.Parallel()
	s := start(t)
	before := s.PID()
	bystanders := []*visitor{s.visit(), s.visit()}
	all := make([]*sealer, len(hostiles))
	for i := range hostiles {
		all[i] = s.seals(before)
	}
	after := s.Replaced()
	for i, h := range hostiles {
		c := all[i]
		c.sends(h.sent(c))
		typ, content, err := c.hears()
		if want := []byte{2, byte(h.alert)}; err != nil || typ != typeAlert || !bytes.Equal(content, want) {
			t.Errorf("%s: answered by type %d, %x, %v; want %s", h.of, typ, content, err, h.alert)
			continue
		}
		if _, _, err := c.hears(); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) { // a reset where not all of it was read
			t.Errorf("%s: behind the alert %v", h.of, err)
		}
		bystanders[i%len(bystanders)].IsOf(after)
	}
	after = s.Replaced()
	for _, v := range bystanders {
		v.IsOf(after)
	}
}

// TestOddRecordsAfterAMoveAreServed, as TLS allows them.
func TestOddRecordsAfterAMoveAreServed(t *testing.T) {
	t.Parallel()
	s := start(t)
	odd := map[string]func(c *sealer) []byte{
		"padded": func(c *sealer) []byte { return c.seal(typeApplication, client.Request("/?id=who"), 1<<14-100) },
		"padded, byte by byte": func(c *sealer) []byte {
			var all []byte
			for _, b := range client.Request("/?id=who") {
				all = append(all, c.seal(typeApplication, string(b), int(b))...)
			}
			return all
		},
		"empty ones between": func(c *sealer) []byte {
			const text = "GET /?id=who HTTP/1.1\r\nHost: service\r\n\r\n"
			return slices.Concat(c.data(""), c.data(text[:9]), c.data(""), c.data(""), c.data(text[9:]))
		},
	}
	before := s.PID()
	clients := map[string]*sealer{}
	for of := range odd {
		clients[of] = s.seals(before)
	}
	after := s.Replaced()
	for of, c := range clients {
		c.T = named{t, of}
		c.goesOn()
		for range 2 {
			c.sends(odd[of](c))
			c.AnswerTo("who", after)
		}
		after = s.Replaced()
	}
}
