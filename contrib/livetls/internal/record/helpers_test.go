package record

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// below is the connection below a Conn, in memory: a Read gives what the client has sent as it was cut, then end.
type below struct {
	net.Conn
	sent [][]byte
	end  error // io.EOF, unless it says otherwise

	mu       sync.Mutex
	written  bytes.Buffer
	writes   int
	room     int   // how many bytes a Write may still take; negative: any
	full     error // what it says when there is no more
	deadline time.Time
	closed   bool
}

func (b *below) Read(p []byte) (int, error) {
	for len(b.sent) > 0 && len(b.sent[0]) == 0 {
		b.sent = b.sent[1:]
	}
	if len(b.sent) == 0 {
		if b.end != nil {
			return 0, b.end
		}
		return 0, io.EOF
	}
	n := copy(p, b.sent[0])
	b.sent[0] = b.sent[0][n:]
	return n, nil
}

func (b *below) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.writes++
	if b.room >= 0 && len(p) > b.room {
		n, _ := b.written.Write(p[:b.room])
		b.room = 0
		return n, b.full
	}
	b.room = max(b.room-len(p), min(b.room, 0))
	return b.written.Write(p)
}

func (b *below) Close() error                       { b.closed = true; return nil }
func (b *below) SetDeadline(t time.Time) error      { b.deadline = t; return nil }
func (b *below) SetReadDeadline(time.Time) error    { return nil }
func (b *below) SetWriteDeadline(t time.Time) error { b.deadline = t; return nil }

// client is the other side of a Conn: the halves are the Conn's, seen from there.
type client struct {
	t       testing.TB
	out, in *Half
}

// pair returns a Conn that is to read what the client seals, how it is cut being up to the test.
func pair(t testing.TB, id uint16) (*Conn, *below, *client) {
	t.Helper()
	b := &below{room: -1}
	from, to := secret(t, id, 'c'), secret(t, id, 's')
	c := NewConn(b, half(t, id, from, 0), half(t, id, to, 0))
	return c, b, &client{t: t, out: half(t, id, from, 0), in: half(t, id, to, 0)}
}

func secret(t testing.TB, id uint16, of byte) []byte {
	t.Helper()
	s, err := suiteOf(id)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Repeat([]byte{of}, s.secretSize)
}

func half(t testing.TB, id uint16, secret []byte, seq uint64) *Half {
	t.Helper()
	h, err := NewHalf(id, secret, seq)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// seal returns the client's next record.
func (c *client) seal(typ byte, content ...byte) []byte {
	c.t.Helper()
	record, err := c.out.Seal(nil, typ, content)
	if err != nil {
		c.t.Fatal(err)
	}
	return record
}

func (c *client) data(content string) []byte {
	c.t.Helper()
	return c.seal(typeApplicationData, []byte(content)...)
}

// inner returns the client's next record with any inner plaintext.
func (c *client) inner(plain []byte) []byte {
	size := len(plain) + tagSize
	header := []byte{typeApplicationData, version >> 8, version & 0xff, byte(size >> 8), byte(size)}
	record := c.out.aead.Seal(slices.Clone(header), c.out.number(), plain, header)
	c.out.seq++
	return record
}

// keyUpdate returns the client's next record, a KeyUpdate, and goes on to the next secret.
func (c *client) keyUpdate(request byte) []byte {
	c.t.Helper()
	record := c.seal(typeHandshake, messageKeyUpdate, 0, 0, 1, request)
	c.follow(c.out)
	return record
}

func (c *client) follow(h *Half) {
	c.t.Helper()
	if err := h.Next(); err != nil {
		c.t.Fatal(err)
	}
}

// heard is what a client gets out of what the server has written.
type heard struct {
	data    []byte
	updates int
	alerts  []tls.AlertError
	records int
}

// hear opens all that the server has written since.
func (c *client) hear(b *below) heard {
	c.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	var h heard
	for b.written.Len() > 0 {
		size, err := measure(b.written.Bytes())
		if err != nil || size == 0 || size > b.written.Len() {
			c.t.Fatalf("%d bytes of no record: %v", b.written.Len(), err)
		}
		typ, content, err := c.in.Open(b.written.Next(size))
		if err != nil {
			c.t.Fatalf("record %d: %v", c.in.Seq(), err)
		}
		h.records++
		switch typ {
		case typeApplicationData:
			h.data = append(h.data, content...)
		case typeHandshake:
			if !bytes.Equal(content, keyUpdate) {
				c.t.Fatalf("message %x", content)
			}
			h.updates++
			c.follow(c.in)
		case typeAlert:
			h.alerts = append(h.alerts, tls.AlertError(content[1]))
		}
	}
	return h
}

// reads reads to the end with buffers of that size.
func reads(c *Conn, size int) (string, error) {
	var all []byte
	p := make([]byte, size)
	for {
		n, err := c.Read(p)
		all = append(all, p[:n]...)
		if err != nil {
			return string(all), err
		}
	}
}

// isAlert reports whether an error says that an alert was sent, or received.
func isAlert(err error, op string, alert tls.AlertError) bool {
	var of *net.OpError
	var is tls.AlertError
	return errors.As(err, &of) && of.Op == op && errors.As(err, &is) && is == alert
}

// ends asserts that both directions have ended with that error, for good.
func ends(t testing.TB, c *Conn, want error) {
	t.Helper()
	for range 2 {
		if _, err := c.Read(make([]byte, 600)); !errors.Is(err, want) {
			t.Errorf("Read afterwards: %v, not %v", err, want)
		}
		if n, err := c.Write([]byte("x")); n != 0 || !errors.Is(err, want) {
			t.Errorf("Write afterwards: %d, %v, not %v", n, err, want)
		}
		if _, err := c.Detach(); !errors.Is(err, want) {
			t.Errorf("Detach afterwards: %v, not %v", err, want)
		}
	}
}

var allSuites = []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384, tls.TLS_CHACHA20_POLY1305_SHA256}

// eachSuite runs a test for each.
func eachSuite(t *testing.T, test func(t *testing.T, id uint16)) {
	for _, id := range allSuites {
		t.Run(tls.CipherSuiteName(id), func(t *testing.T) { test(t, id) })
	}
}
