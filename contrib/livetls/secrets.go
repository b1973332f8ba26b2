package livetls

import (
	"bytes"
	"crypto/fips140"
	"crypto/tls"
	"encoding/hex"
	"slices"
)

// secretive is config for a tls.Server above a trace, which is told the secrets of its connection. crypto/tls has no other way to them than the key
// log of a configuration, and GetConfigForClient is the one to a configuration of a connection's own: by it, ticket keys still come from the
// original.
func secretive(config *tls.Config) *tls.Config {
	c := config.Clone()
	program := config.GetConfigForClient
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		chosen := config
		if program != nil {
			its, err := program(hello)
			if err != nil {
				return nil, err
			}
			if its != nil {
				chosen = its
			}
		}
		t, ok := hello.Conn.(*trace)
		if !ok || !slices.Contains(hello.SupportedVersions, tls.VersionTLS13) {
			return chosen, nil
		}
		if t.why = unsuited(chosen); t.why != "" {
			return chosen, nil
		}
		own := chosen.Clone()
		own.KeyLogWriter = keyLog{t}
		return own, nil
	}
	return c
}

// unsuited tells why connections under a configuration stay, "" if they need not.
func unsuited(c *tls.Config) string {
	switch {
	case c.KeyLogWriter != nil:
		return whyKeyLog
	case len(c.EncryptedClientHelloKeys) > 0 || c.GetEncryptedClientHelloKeys != nil:
		return whyECH
	case fips140.Enabled():
		return whyFIPS
	}
	return ""
}

// keyLog takes the secrets of the one connection.
type keyLog struct{ of *trace }

// Labels of the NSS key log, by which crypto/tls tells secrets.
var (
	labelIn  = []byte("CLIENT_TRAFFIC_SECRET_0")
	labelOut = []byte("SERVER_TRAFFIC_SECRET_0")
)

// Write implements io.Writer: it takes a line, and overwrites it.
func (k keyLog) Write(line []byte) (int, error) {
	defer clear(line)
	words := bytes.Fields(line)
	if len(words) != 3 {
		return len(line), nil
	}
	secret := make([]byte, hex.DecodedLen(len(words[2])))
	if _, err := hex.Decode(secret, words[2]); err != nil {
		return len(line), nil //nolint:nilerr // not of the form that it should have: without secrets the connection stays
	}
	switch {
	case bytes.Equal(words[0], labelIn):
		k.of.in = secret
	case bytes.Equal(words[0], labelOut):
		k.of.out = secret
	default:
		clear(secret) // of the handshake, and for exporters
	}
	return len(line), nil
}
