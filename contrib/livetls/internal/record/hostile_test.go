package record

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

// hostile is what a client sends, and the alert that it is answered with.
type hostile struct {
	of    string
	sent  func(c *client) []byte
	alert tls.AlertError
	got   string // what was read before
}

var hostiles = []hostile{
	{"tampered content", func(c *client) []byte { return flip(c.data("hello"), headerSize) }, alertBadRecordMAC, ""},
	{"tampered tag", func(c *client) []byte { return flip(c.data("hello"), -1) }, alertBadRecordMAC, ""},
	{"tampered length", func(c *client) []byte { return append(flip(c.data("hello"), 4), "more"...) }, alertBadRecordMAC, ""},
	{"sealed with another secret", func(c *client) []byte { c.follow(c.out); return c.data("hello") }, alertBadRecordMAC, ""},
	{"replayed", func(c *client) []byte { r := c.data("hello"); return append(r, slices.Clone(r)...) }, alertBadRecordMAC, "hello"},
	{"reordered", func(c *client) []byte { a, b := c.data("a"), c.data("b"); return append(b, a...) }, alertBadRecordMAC, ""},
	{"left out", func(c *client) []byte { a, _, b := c.data("a"), c.data("b"), c.data("c"); return append(a, b...) }, alertBadRecordMAC, "a"},
	{"no tag", func(*client) []byte { return []byte{23, 3, 3, 0, 0} }, alertBadRecordMAC, ""},
	{"a tag too short", func(*client) []byte { return append([]byte{23, 3, 3, 0, 15}, make([]byte, 15)...) }, alertBadRecordMAC, ""},

	{"version 3.1", func(c *client) []byte { return flip(c.data("hello"), 2) }, alertProtocolVersion, ""},
	{"version 2.3", func(c *client) []byte { return flip(c.data("hello"), 1) }, alertProtocolVersion, ""},
	{"an alert in the clear", func(*client) []byte { return []byte{21, 3, 3, 0, 2, 2, 40} }, alertUnexpectedMessage, ""},
	{"a ClientHello", func(*client) []byte { return []byte{22, 3, 1, 1, 0, 1} }, alertUnexpectedMessage, ""},
	{"HTTP", func(*client) []byte { return []byte("GET / HTTP/1.1\r\n\r\n") }, alertUnexpectedMessage, ""},
	{"a dummy change_cipher_spec", func(*client) []byte { return []byte{20, 3, 3, 0, 1, 1} }, alertUnexpectedMessage, ""},
	{"one after content", func(c *client) []byte { return append(c.data("hello"), 20, 3, 3, 0, 1, 1) }, alertUnexpectedMessage, "hello"},

	{"a sealed change_cipher_spec", func(c *client) []byte { return c.seal(20, 1) }, alertUnexpectedMessage, ""},
	{"a sealed heartbeat", func(c *client) []byte { return c.seal(24, 1, 0, 0) }, alertUnexpectedMessage, ""},
	{"an unknown type", func(c *client) []byte { return c.seal(99, 1) }, alertUnexpectedMessage, ""},
	{"no inner plaintext", func(c *client) []byte { return c.inner(nil) }, alertUnexpectedMessage, ""},
	{"padding alone", func(c *client) []byte { return c.inner(make([]byte, 300)) }, alertUnexpectedMessage, ""},
	{"padding alone, as much as there can be", func(c *client) []byte { return c.inner(make([]byte, maxContent+1)) }, alertUnexpectedMessage, ""},
	{"one byte too much content", func(c *client) []byte { return c.inner(pad(strings.Repeat("x", maxContent+1), 23, 0)) }, alertRecordOverflow, ""},
	{"one byte too much padding", func(c *client) []byte { return c.inner(pad("x", 23, maxContent)) }, alertRecordOverflow, ""},
	{"as much as a header can say", func(c *client) []byte { return c.inner(pad("x", 23, maxPayload-tagSize-2)) }, alertRecordOverflow, ""},
	{"more than a header may say", func(*client) []byte { return []byte{23, 3, 3, 0x41, 0x01} }, alertRecordOverflow, ""},

	{"empty records", func(c *client) []byte { return times(maxUseless+1, func() []byte { return c.data("") }) }, alertUnexpectedMessage, ""},
	{"empty padded records", func(c *client) []byte {
		return times(maxUseless+1, func() []byte { return c.inner(pad("", 23, 1000)) })
	}, alertUnexpectedMessage, ""},
	{"user_canceled", func(c *client) []byte { return times(maxUseless+1, func() []byte { return c.seal(21, 1, 90) }) }, alertUnexpectedMessage, ""},
	{"key updates", func(c *client) []byte {
		return times(maxUseless+1, func() []byte { return c.keyUpdate(updateRequested) })
	}, alertUnexpectedMessage, ""},
	{"a mixture of useless records", func(c *client) []byte {
		return append(c.data("x"), times(6, func() []byte { return slices.Concat(c.data(""), c.seal(21, 1, 90), c.keyUpdate(0)) })...)
	}, alertUnexpectedMessage, "x"},

	{"an empty alert", func(c *client) []byte { return c.seal(21) }, alertUnexpectedMessage, ""},
	{"half an alert", func(c *client) []byte { return c.seal(21, 1) }, alertDecodeError, ""},
	{"two alerts in a record", func(c *client) []byte { return c.seal(21, 1, 90, 1, 0) }, alertDecodeError, ""},

	{"an empty message", func(c *client) []byte { return c.seal(22) }, alertUnexpectedMessage, ""},
	{"an empty part of a message", func(c *client) []byte { return append(c.seal(22, 24, 0), c.seal(22)...) }, alertUnexpectedMessage, ""},
	{"a certificate nobody asked for", func(c *client) []byte { return c.seal(22, 11, 0, 0, 4, 0, 0, 0, 0) }, alertUnexpectedMessage, ""},
	{"a ticket", func(c *client) []byte { return c.seal(22, 4) }, alertUnexpectedMessage, ""},
	{"another Finished", func(c *client) []byte { return c.seal(22, 20, 0, 0, 32) }, alertUnexpectedMessage, ""},
	{"a sealed ClientHello", func(c *client) []byte { return c.seal(22, 1, 0, 1, 0) }, alertUnexpectedMessage, ""},
	{"a message without an end", func(c *client) []byte { return c.seal(22, 24, 0xff, 0xff, 0xff, 0) }, alertDecodeError, ""},
	{"a key update of no byte", func(c *client) []byte { return c.seal(22, 24, 0, 0, 0) }, alertDecodeError, ""},
	{"a key update of two bytes", func(c *client) []byte { return c.seal(22, 24, 0, 0, 2, 0, 0) }, alertDecodeError, ""},
	{"a key update of another value", func(c *client) []byte { return c.seal(22, 24, 0, 0, 1, 2) }, alertIllegalParameter, ""},
	{"one that comes in parts", func(c *client) []byte { return append(c.seal(22, 24, 0, 0, 1), c.seal(22, 255)...) }, alertIllegalParameter, ""},
	{"a key update and a byte", func(c *client) []byte { return c.seal(22, 24, 0, 0, 1, 0, 0) }, alertUnexpectedMessage, ""},
	{"two key updates in a record", func(c *client) []byte { return c.seal(22, 24, 0, 0, 1, 0, 24, 0, 0, 1, 0) }, alertUnexpectedMessage, ""},
	{"the end of one and the beginning of another", func(c *client) []byte {
		return append(c.seal(22, 24, 0, 0), c.seal(22, 1, 0, 24)...)
	}, alertUnexpectedMessage, ""},
	{"content within a message", func(c *client) []byte { return append(c.seal(22, 24, 0), c.data("hello")...) }, alertUnexpectedMessage, ""},
	{"close_notify within a message", func(c *client) []byte { return append(c.seal(22, 24, 0), c.seal(21, 1, 0)...) }, alertUnexpectedMessage, ""},
	{"content under the old secret", func(c *client) []byte {
		old := half(c.t, c.out.suite.id, c.out.Secret(), 1)
		c.keyUpdate(0)
		update := half(c.t, c.out.suite.id, old.Secret(), 0)
		r, _ := update.Seal(nil, 22, keyUpdate)
		r, _ = old.Seal(r, 23, []byte("hello"))
		return r
	}, alertBadRecordMAC, ""},
}

func TestHostileClientGetsItsAlertAndNothingElse(t *testing.T) {
	for _, h := range hostiles {
		t.Run(strings.ReplaceAll(h.of, " ", "-"), func(t *testing.T) {
			eachSuite(t, func(t *testing.T, id uint16) {
				for _, room := range []int{1, 600, 1 << 16} {
					c, b, client := pair(t, id)
					b.sent = [][]byte{h.sent(client)}
					got, err := reads(c, room)
					if got != h.got || !isAlert(err, "local error", h.alert) {
						t.Fatalf("read by %d: %q, %v", room, got, err)
					}
					if heard := client.hear(b); !slices.Equal(heard.alerts, []tls.AlertError{h.alert}) || heard.data != nil {
						t.Errorf("the client gets %v", heard)
					}
					ends(t, c, h.alert)
					if err := c.Close(); err != nil || b.written.Len() > 0 || !b.closed {
						t.Errorf("Close: %v, and %d bytes more", err, b.written.Len())
					}
				}
			})
		})
	}
}

func TestAlertsOfTheClientEndTheConnection(t *testing.T) {
	for _, alert := range []tls.AlertError{10, 40, 42, 80, 255} {
		for _, level := range []byte{levelWarning, levelFatal, 77} {
			c, b, client := pair(t, allSuites[0])
			b.sent = [][]byte{append(client.data("x"), client.seal(typeAlert, level, byte(alert))...)}
			if got, err := reads(c, 600); got != "x" || !isAlert(err, "remote error", alert) {
				t.Fatalf("%q, %v", got, err)
			}
			ends(t, c, alert)
			if err := c.Close(); err != nil || b.written.Len() > 0 {
				t.Errorf("Close: %v, and %d bytes", err, b.written.Len())
			}
		}
	}
}

func TestUselessRecordsAreBoundedInARowOnly(t *testing.T) {
	c, b, client := pair(t, allSuites[0])
	for range 5 {
		b.sent = append(b.sent,
			times(maxUseless-3, func() []byte { return client.data("") }),
			client.keyUpdate(0), client.seal(typeAlert, 1, 90), client.inner(pad("", 23, maxContent)),
			client.inner(pad("x", 23, maxContent-1)))
	}
	b.sent = append(b.sent, client.seal(typeAlert, 1, 0))
	if got, err := reads(c, 600); got != "xxxxx" || err != io.EOF {
		t.Fatalf("%q, %v", got, err)
	}
}

func TestAlertWaitsForNoClientThatDoesNotRead(t *testing.T) {
	c, b, client := pair(t, allSuites[0])
	b.room, b.full = 0, errors.New("full")
	b.sent = [][]byte{flip(client.data("x"), -1)}
	if _, err := c.Read(make([]byte, 600)); !isAlert(err, "local error", alertBadRecordMAC) {
		t.Fatal(err)
	}
	if b.deadline.IsZero() {
		t.Error("the alert has no deadline")
	}
	ends(t, c, alertBadRecordMAC)
}

func flip(record []byte, at int) []byte {
	record[(at+len(record))%len(record)] ^= 2
	return record
}

// pad is an inner plaintext.
func pad(content string, typ byte, zeros int) []byte {
	return append(append([]byte(content), typ), make([]byte, zeros)...)
}

func times(n int, record func() []byte) []byte {
	var b bytes.Buffer
	for range n {
		b.Write(record())
	}
	return b.Bytes()
}
