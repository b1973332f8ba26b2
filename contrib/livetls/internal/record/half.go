package record

import (
	"crypto/cipher"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

var (
	// ErrCleared is returned by a Half after Clear.
	ErrCleared = errors.New("the secret was cleared")
	// ErrExhausted is returned by a Half that has no sequence number left: none is used twice.
	ErrExhausted = errors.New("sequence numbers are used up")
)

// Half is one direction of a connection: its secret, and the number of the next record. It is not safe for concurrent use.
type Half struct {
	suite  *suite
	secret [maxSecretSize]byte
	aead   cipher.AEAD // nil: cleared
	iv     [nonceSize]byte
	nonce  [nonceSize]byte // of the record in hand; here, as it would escape to the heap
	seq    uint64
}

// NewHalf returns the direction whose records are protected by a traffic secret of that suite, from record number seq on. The secret
// is copied. A suite that is none of TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256, or a secret that
// has not the length of the suite's hash, is an error.
func NewHalf(id uint16, secret []byte, seq uint64) (*Half, error) {
	suite, err := suiteOf(id)
	if err != nil {
		return nil, err
	}
	if len(secret) != suite.secretSize {
		return nil, fmt.Errorf("a secret of %s has %d bytes, not %d", tls.CipherSuiteName(id), suite.secretSize, len(secret))
	}
	h := &Half{suite: suite}
	if err := h.use(secret, seq); err != nil {
		return nil, err
	}
	return h, nil
}

// use replaces secret and number; on an error nothing has changed.
func (h *Half) use(secret []byte, seq uint64) error {
	aead, iv, err := h.suite.keys(secret)
	if err != nil {
		return fmt.Errorf("derive keys of %s: %w", tls.CipherSuiteName(h.suite.id), err)
	}
	copy(h.secret[:], secret)
	copy(h.iv[:], iv)
	clear(iv)
	h.aead, h.seq = aead, seq
	return nil
}

// Suite returns the number of the cipher suite.
func (h *Half) Suite() uint16 { return h.suite.id }

// Seq returns the number of the next record.
func (h *Half) Seq() uint64 { return h.seq }

// Secret returns a copy of the traffic secret, the caller's to clear; nil after Clear.
func (h *Half) Secret() []byte {
	if h.aead == nil {
		return nil
	}
	return slices.Clone(h.secret[:h.suite.secretSize])
}

// Open opens a record, given whole with its header, at the present number, and goes on to the next. The content is decrypted in place
// and is the record's memory. What is wrong with a record is said by a [tls.AlertError], the alert that it is to be answered with. One
// that is not authentic leaves the number as it was, and nothing of its content is to be seen; one that is, and is too long or has no
// type, has used the number up.
func (h *Half) Open(record []byte) (typ byte, content []byte, err error) {
	if len(record) < headerSize {
		return 0, nil, alertDecodeError
	}
	return h.open(record[headerSize:headerSize], record)
}

// Opens reports whether Open would find the record authentic at the present number. Neither the Half nor the record change.
func (h *Half) Opens(record []byte) bool {
	scratch := getBuffer(len(record))
	defer scratch.put()
	_, err := h.unprotect(scratch.bytes[:0], record)
	clear(scratch.bytes)
	return err == nil
}

// open appends the inner plaintext to dst, which is the record's own payload or does not overlap it, and returns what is in it
// (RFC 8446, 5.2 and 5.4).
func (h *Half) open(dst, record []byte) (typ byte, content []byte, err error) {
	inner, err := h.unprotect(dst, record)
	if err != nil {
		return 0, nil, err
	}
	h.seq++
	if len(inner) > maxContent+1 {
		return 0, nil, alertRecordOverflow
	}
	// Behind the content stand its type, which is not zero, and padding, which is. Going by eight makes long padding cheap.
	end := len(inner)
	for end >= 8 && binary.LittleEndian.Uint64(inner[end-8:]) == 0 {
		end -= 8
	}
	for end > 0 && inner[end-1] == 0 {
		end--
	}
	if end == 0 {
		return 0, nil, alertUnexpectedMessage
	}
	return inner[end-1], inner[:end-1], nil
}

// unprotect appends the inner plaintext to dst if the record is authentic. If not, the cipher leaves nothing of it there.
func (h *Half) unprotect(dst, record []byte) ([]byte, error) {
	if err := h.ready(); err != nil {
		return nil, err
	}
	size, err := measure(record)
	if err != nil {
		return nil, err
	}
	if size == 0 || size != len(record) {
		return nil, alertDecodeError
	}
	inner, err := h.aead.Open(dst, h.number(), record[headerSize:], record[:headerSize])
	if err != nil {
		return nil, alertBadRecordMAC
	}
	return inner, nil
}

// Seal appends to dst one record with that content, of at most 16,384 bytes, and goes on to the next number. dst and the content do
// not overlap. On an error, dst is returned as it was.
func (h *Half) Seal(dst []byte, typ byte, content []byte) ([]byte, error) {
	if err := h.ready(); err != nil {
		return dst, err
	}
	if len(content) > maxContent {
		return dst, fmt.Errorf("seal %d bytes: a record holds %d", len(content), maxContent)
	}
	size := len(content) + 1 + tagSize
	out := append(slices.Grow(dst, headerSize+size), typeApplicationData, version>>8, version&0xff, byte(size>>8), byte(size))
	header, at := out[len(dst):], len(out)
	out = append(append(out, content...), typ)
	h.note()
	out = h.aead.Seal(out[:at], h.number(), out[at:], header)
	h.seq++
	return out, nil
}

// Next replaces the secret by the one that follows a KeyUpdate (RFC 8446, 7.2), at number 0. The old one is overwritten. On an
// error nothing has changed.
func (h *Half) Next() error {
	if h.aead == nil {
		return ErrCleared
	}
	secret, err := h.suite.next(h.secret[:h.suite.secretSize])
	if err != nil {
		return fmt.Errorf("derive the next secret: %w", err)
	}
	defer clear(secret)
	return h.use(secret, 0)
}

// Clear overwrites the secret; nothing can be opened or sealed any more. The expanded key within the cipher cannot be overwritten:
// it is left to the garbage collector.
func (h *Half) Clear() {
	clear(h.secret[:])
	clear(h.iv[:])
	clear(h.nonce[:])
	h.aead = nil
}

// Format keeps the secret out of whatever prints a Half.
func (h *Half) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "%s at record %d", tls.CipherSuiteName(h.suite.id), h.seq)
}

// worn reports whether the secret has sealed as much as it should.
func (h *Half) worn() bool { return h.seq >= h.suite.wear }

func (h *Half) ready() error {
	switch {
	case h.aead == nil:
		return ErrCleared
	case h.seq == math.MaxUint64:
		return ErrExhausted
	}
	return nil
}

// number is the nonce of the present number (RFC 8446, 5.3).
func (h *Half) number() []byte {
	copy(h.nonce[:], h.iv[:])
	binary.BigEndian.PutUint64(h.nonce[4:], binary.BigEndian.Uint64(h.iv[4:])^h.seq)
	return h.nonce[:]
}
