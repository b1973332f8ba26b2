//go:build linux

package livetls

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"testing"
	"time"
)

// sealer is a client whose records crypto/tls makes no more once it has shaken hands, but the test: of TLS_AES_128_GCM_SHA256 (RFC 8446, section 5).
type sealer struct {
	*visitor
	out, in cipherHalf
	updates int // how many KeyUpdates it has heard
}

// Content types (RFC 8446, section 5.1).
const (
	typeAlert       = 21
	typeHandshake   = 22
	typeApplication = 23
)

const tagSize = 16

// A KeyUpdate (RFC 8446, section 4.6.3), and one that wants an answer.
const (
	keyUpdate      = "\x18\x00\x00\x01\x00"
	keyUpdateAsked = "\x18\x00\x00\x01\x01"
)

type cipherHalf struct {
	cipher.AEAD
	t      testing.TB
	secret []byte
	iv     []byte
	seq    uint64
}

// seals returns a client that has asked once, and has been answered by that process.
func (s *service) seals(pid int) *sealer {
	s.t.Helper()
	var log bytes.Buffer
	v := s.visit(func(c *tls.Config) { c.KeyLogWriter = &log })
	v.IsOf(pid)
	if suite := v.ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
		s.t.Fatalf("agreed on %s", tls.CipherSuiteName(suite))
	}
	c := &sealer{visitor: v}
	for line := range bytes.Lines(log.Bytes()) {
		words := bytes.Fields(line)
		secret, err := hex.DecodeString(string(words[2]))
		if err != nil {
			s.t.Fatal(err)
		}
		switch string(words[0]) {
		case "CLIENT_TRAFFIC_SECRET_0":
			c.out = halfOf(s.t, secret)
			c.out.seq = 1 // the one question
		case "SERVER_TRAFFIC_SECRET_0":
			c.in = halfOf(s.t, secret)
		}
	}
	return c
}

func halfOf(t testing.TB, secret []byte) cipherHalf {
	t.Helper()
	h := cipherHalf{t: t, secret: secret}
	block, err := aes.NewCipher(h.expand("key", 16))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	h.AEAD, h.iv = aead, h.expand("iv", 12)
	return h
}

func (h *cipherHalf) expand(label string, size int) []byte {
	h.t.Helper()
	label = "tls13 " + label
	b, err := hkdf.Expand(sha256.New, h.secret, string([]byte{0, byte(size), byte(len(label))})+label+"\x00", size)
	if err != nil {
		h.t.Fatal(err)
	}
	return b
}

// renew goes on to the next secret (RFC 8446, section 7.2).
func (h *cipherHalf) renew() { *h = halfOf(h.t, h.expand("traffic upd", sha256.Size)) }

func (h *cipherHalf) nonce(seq uint64) []byte {
	n := bytes.Clone(h.iv)
	binary.BigEndian.PutUint64(n[4:], binary.BigEndian.Uint64(n[4:])^seq)
	return n
}

// seal returns the next record: content of a type, and padding.
func (c *sealer) seal(typ byte, content string, padding int) []byte {
	inner := append(append([]byte(content), typ), make([]byte, padding)...)
	size := len(inner) + tagSize
	header := []byte{typeApplication, 3, 3, byte(size >> 8), byte(size)}
	record := c.out.Seal(header, c.out.nonce(c.out.seq), inner, header)
	c.out.seq++
	return record
}

// data returns one of HTTP.
func (c *sealer) data(content string) []byte { return c.seal(typeApplication, content, 0) }

// hears reads one record, and returns what is in it; io.EOF at the end.
func (c *sealer) hears() (typ byte, content []byte, err error) {
	_ = c.below.SetReadDeadline(time.Now().Add(patience))
	header := make([]byte, headerSize)
	if _, err := io.ReadFull(c.below.Conn, header); err != nil {
		return 0, nil, err
	}
	body := make([]byte, binary.BigEndian.Uint16(header[3:]))
	if _, err := io.ReadFull(c.below.Conn, body); err != nil {
		return 0, nil, err
	}
	for ; c.in.seq < 100; c.in.seq++ { // tickets and the first answer were crypto/tls's to read
		if inner, err := c.in.Open(nil, c.in.nonce(c.in.seq), body, header); err == nil {
			c.in.seq++
			return inner[len(inner)-1], inner[:len(inner)-1], nil // the service does not pad
		}
	}
	c.T.Fatal("a record of the service cannot be opened")
	return 0, nil, nil
}

// update returns the next record, a KeyUpdate, and goes on to the next secret.
func (c *sealer) update(message string) []byte {
	record := c.seal(typeHandshake, message, 0)
	c.out.renew()
	return record
}

// Read implements io.Reader for what HTTP brings. A KeyUpdate before it is done as it says.
func (c *sealer) Read(p []byte) (int, error) {
	typ, content, err := c.hears()
	for err == nil && typ == typeHandshake && string(content) == keyUpdate {
		c.in.renew()
		c.updates++
		typ, content, err = c.hears()
	}
	if err == nil && typ != typeApplication {
		c.T.Fatalf("a record of type %d: %x", typ, content)
	}
	return copy(p, content), err // an answer's record is shorter than a bufio.Reader's room
}

// saysNothing watches the connection for that time: nothing comes, and it does not end.
func (c *sealer) saysNothing(d time.Duration) {
	c.T.Helper()
	_ = c.below.SetReadDeadline(time.Now().Add(d))
	if n, err := c.below.Conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		c.T.Fatalf("the connection did not stay as it was for %s: %d bytes, %v", d, n, err)
	}
}

// goesOn has further answers read from the test's own records.
func (c *sealer) goesOn() { c.Reader = bufio.NewReaderSize(c, 1<<15) }
