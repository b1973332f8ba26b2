package livetls

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"testing"
)

func TestKeyLogTakesTheSecretsOfTheApplicationAndOverwritesItsLines(t *testing.T) {
	tr := &trace{}
	random, in, out, other := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32), bytes.Repeat([]byte{3}, 48), bytes.Repeat([]byte{4}, 32)
	for label, secret := range map[string][]byte{
		"CLIENT_HANDSHAKE_TRAFFIC_SECRET": other, "CLIENT_TRAFFIC_SECRET_0": in, "SERVER_TRAFFIC_SECRET_0": out, "EXPORTER_SECRET": other,
	} {
		line := fmt.Appendf(nil, "%s %x %x\n", label, random, secret)
		if n, err := (keyLog{tr}).Write(line); n != len(line) || err != nil {
			t.Errorf("%s: %d, %v", label, n, err)
		}
		if bytes.ContainsFunc(line, func(r rune) bool { return r != 0 }) {
			t.Errorf("%s: the line is not overwritten", label)
		}
	}
	if !bytes.Equal(tr.in, in) || !bytes.Equal(tr.out, out) {
		t.Errorf("secrets %x and %x", tr.in, tr.out)
	}
}

func TestKeyLogThatIsNotAsItWasLeavesTheConnection(t *testing.T) {
	for _, line := range []string{"", "CLIENT_TRAFFIC_SECRET_0\n", "CLIENT_TRAFFIC_SECRET_0 00 zz\n", "CLIENT_TRAFFIC_SECRET_0 00 0\n", "CLIENT_TRAFFIC_SECRET_0 00 00 00\n", "CLIENT_TRAFFIC_SECRET_1 00 " + hex.EncodeToString(make([]byte, 32))} {
		tr := &trace{}
		if n, err := (keyLog{tr}).Write([]byte(line)); n != len(line) || err != nil || tr.in != nil || tr.out != nil {
			t.Errorf("%q: %d, %v, %x", line, n, err, tr.in)
		}
	}
}

// TestConfigurationIsTheProgramsOwn: its function is asked once, with what the client says, and what it returns holds.
func TestConfigurationIsTheProgramsOwn(t *testing.T) {
	tr := &trace{}
	hello := &tls.ClientHelloInfo{Conn: tr, SupportedVersions: []uint16{tls.VersionTLS13}}
	own, refused := &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"own"}}, errors.New("refused")
	asked := 0
	answer := func(c *tls.Config, err error) *tls.Config {
		return secretive(&tls.Config{NextProtos: []string{"outer"}, GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			if asked++; h != hello {
				t.Error("asked about another client")
			}
			return c, err
		}})
	}
	if _, err := answer(nil, refused).GetConfigForClient(hello); !errors.Is(err, refused) {
		t.Errorf("its error is %v", err)
	}
	for c, want := range map[*tls.Config]string{own: "own", nil: "outer"} {
		asked = 0
		got, err := answer(c, nil).GetConfigForClient(hello)
		if err != nil || got.NextProtos[0] != want || got.KeyLogWriter != (keyLog{tr}) || asked != 1 {
			t.Errorf("%s: %v, %v, asked %d times", want, got, err, asked)
		}
	}
	if own.KeyLogWriter != nil {
		t.Error("the program's configuration was changed")
	}
}

// TestConfigurationThatIsUnsuitedIsLeftAsItIs.
func TestConfigurationThatIsUnsuitedIsLeftAsItIs(t *testing.T) {
	for why, c := range map[string]*tls.Config{
		whyKeyLog: {KeyLogWriter: io.Discard},
		whyECH:    {EncryptedClientHelloKeys: []tls.EncryptedClientHelloKey{{}}},
	} {
		tr := &trace{}
		got, err := secretive(c).GetConfigForClient(&tls.ClientHelloInfo{Conn: tr, SupportedVersions: []uint16{tls.VersionTLS13}})
		if err != nil || got != c || tr.why != why {
			t.Errorf("%s: %v, stays for %q", why, err, tr.why)
		}
	}
	c := &tls.Config{}
	if got, err := secretive(c).GetConfigForClient(&tls.ClientHelloInfo{Conn: &trace{}, SupportedVersions: []uint16{tls.VersionTLS12}}); err != nil || got != c {
		t.Errorf("of a client of TLS 1.2 the secrets are taken: %v", err)
	}
}
