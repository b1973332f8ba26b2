package record

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"fmt"
	"hash"
	"math"

	"golang.org/x/crypto/chacha20poly1305"
)

// Sizes that all suites have in common.
const (
	nonceSize     = 12
	tagSize       = 16
	maxSecretSize = sha512.Size384
)

// suite is what a cipher suite of TLS 1.3 (RFC 8446, B.4) means for its records.
type suite struct {
	id         uint16
	hash       func() hash.Hash
	secretSize int // the hash's
	keySize    int
	aead       func(key []byte) (cipher.AEAD, error)
	wear       uint64 // how many records are sealed under one secret
}

// gcmWear stays below the 2^24.5 full records after which the margin of AES-GCM is used up (RFC 8446, 5.5). The limit of
// ChaCha20-Poly1305 is the sequence number itself.
const gcmWear = 1 << 24

var suites = [...]suite{
	{tls.TLS_AES_128_GCM_SHA256, sha256.New, sha256.Size, 16, newGCM, gcmWear},
	{tls.TLS_AES_256_GCM_SHA384, sha512.New384, sha512.Size384, 32, newGCM, gcmWear},
	{tls.TLS_CHACHA20_POLY1305_SHA256, sha256.New, sha256.Size, chacha20poly1305.KeySize, chacha20poly1305.New, math.MaxUint64},
}

func suiteOf(id uint16) (*suite, error) {
	for i := range suites {
		if suites[i].id == id {
			return &suites[i], nil
		}
	}
	return nil, fmt.Errorf("cipher suite %#04x is none of TLS 1.3 that is known here", id)
}

// newGCM fails in programs that allow FIPS 140-3 alone, as they know no nonce but one that the cipher makes.
func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// keys derives what records are sealed with from a traffic secret (RFC 8446, 7.3).
func (s *suite) keys(secret []byte) (aead cipher.AEAD, iv []byte, err error) {
	key, err := s.expand(secret, "key", s.keySize)
	if err != nil {
		return nil, nil, err
	}
	defer clear(key)
	if iv, err = s.expand(secret, "iv", nonceSize); err != nil {
		return nil, nil, err
	}
	aead, err = s.aead(key)
	return aead, iv, err
}

// next derives the traffic secret that follows on a KeyUpdate (RFC 8446, 7.2).
func (s *suite) next(secret []byte) ([]byte, error) {
	return s.expand(secret, "traffic upd", s.secretSize)
}

// expand is HKDF-Expand-Label with an empty context (RFC 8446, 7.1).
func (s *suite) expand(secret []byte, label string, size int) ([]byte, error) {
	label = "tls13 " + label
	info := string([]byte{byte(size >> 8), byte(size), byte(len(label))}) + label + "\x00"
	return hkdf.Expand(s.hash, secret, info, size)
}
