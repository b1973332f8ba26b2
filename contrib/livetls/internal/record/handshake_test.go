package record

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
	_ "unsafe" // for linkname
)

// Which suites crypto/tls offers and prefers in TLS 1.3 cannot be configured. It leaves this variable open to packages that need to.
//
//go:linkname suitesOfTLS13 crypto/tls.defaultCipherSuitesTLS13
var suitesOfTLS13 []uint16

//go:linkname suitesOfTLS13NoAES crypto/tls.defaultCipherSuitesTLS13NoAES
var suitesOfTLS13NoAES []uint16

// only has crypto/tls know one suite of TLS 1.3 until the test is over.
func only(t testing.TB, id uint16) {
	with, without := suitesOfTLS13, suitesOfTLS13NoAES
	t.Cleanup(func() { suitesOfTLS13, suitesOfTLS13NoAES = with, without })
	suitesOfTLS13, suitesOfTLS13NoAES = []uint16{id}, []uint16{id}
}

// tap lies below crypto/tls during a handshake. It lets no more than one record through at a time, so that nothing is held back when the
// handshake is over, and keeps what was written.
type tap struct {
	net.Conn
	header  []byte
	rest    int // of the record that is being read
	written []byte
	after   net.Conn // takes over from it; nil in the handshake
}

func (t *tap) Read(p []byte) (int, error) {
	if t.after != nil {
		return t.after.Read(p)
	}
	if len(t.header) == 0 && t.rest == 0 {
		t.header = make([]byte, headerSize)
		if _, err := io.ReadFull(t.Conn, t.header); err != nil {
			return 0, err
		}
		t.rest = int(t.header[3])<<8 | int(t.header[4])
	}
	if len(t.header) > 0 {
		n := copy(p, t.header)
		t.header = t.header[n:]
		return n, nil
	}
	n, err := t.Conn.Read(p[:min(len(p), t.rest)])
	t.rest -= n
	return n, err
}

func (t *tap) Write(p []byte) (int, error) {
	if t.after != nil {
		return t.after.Write(p)
	}
	t.written = append(t.written, p...)
	return t.Conn.Write(p)
}

// handshake is one of a client and a server of crypto/tls, over loopback, when it is over.
type handshake struct {
	client, server *tls.Conn
	tap            *tap
	below          net.Conn // of server
	in, out        *Half    // what can go on in its place
}

func shake(t testing.TB, id uint16, tune func(client, server *tls.Config)) handshake {
	t.Helper()
	only(t, id)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dialed, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dialed.Close() })
	below, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = below.Close() })
	for _, c := range []net.Conn{dialed, below} {
		if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}

	var log bytes.Buffer
	certificate := selfSigned(t)
	ofServer := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13, KeyLogWriter: &log}
	roots := x509.NewCertPool()
	roots.AddCert(certificate.Leaf)
	ofClient := &tls.Config{RootCAs: roots, ServerName: "localhost"}
	if tune != nil {
		tune(ofClient, ofServer)
	}
	h := handshake{client: tls.Client(dialed, ofClient), tap: &tap{Conn: below}, below: below}
	h.server = tls.Server(h.tap, ofServer)
	shaken := make(chan error, 1)
	go func() { shaken <- h.client.Handshake() }()
	if err := h.server.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-shaken; err != nil {
		t.Fatal(err)
	}
	if got := h.server.ConnectionState().CipherSuite; got != id {
		t.Fatalf("suite %s", tls.CipherSuiteName(got))
	}
	h.in = half(t, id, logged(t, log.String(), "CLIENT_TRAFFIC_SECRET_0"), 0)
	h.out = half(t, id, logged(t, log.String(), "SERVER_TRAFFIC_SECRET_0"), 0)
	// The tickets were sealed already under the secret that goes on.
	for b := h.tap.written; len(b) > 0; {
		size := headerSize + int(b[3])<<8 + int(b[4])
		if h.out.Opens(b[:size]) {
			if _, _, err := h.out.Open(b[:size]); err != nil {
				t.Fatal(err)
			}
		}
		b = b[size:]
	}
	return h
}

func logged(t testing.TB, log, label string) []byte {
	t.Helper()
	for line := range strings.Lines(log) {
		if fields := strings.Fields(line); fields[0] == label {
			secret, err := hex.DecodeString(fields[2])
			if err != nil {
				t.Fatal(err)
			}
			return secret
		}
	}
	t.Fatalf("%s was not logged", label)
	return nil
}

func selfSigned(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}
