package handover

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
)

// requests are whole ones, as clients write them.
var requests = []string{
	"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
	"POST /a?b=c HTTP/1.1\r\nhost: h:80\r\ncontent-length: 3\r\nExpect: 100-continue\r\n\r\nabc",
	"PUT * HTTP/1.1\r\nHost: h\r\nContent-Length: 5000\r\nCookie: a=b\r\nAccept: x\r\nAccept: y\r\nConnection: keep-alive\r\n\r\n" + strings.Repeat("x", 5000),
	"GET http://h/ HTTP/1.1\r\nHost: h\r\nX-Empty: \r\n\r\n",
}

func parse(t *testing.T, request string) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(request)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRequestClaimsWhatItIsLong holds requestSize to the parser of the net/http that compiles us.
func TestRequestClaimsWhatItIsLong(t *testing.T) {
	for _, request := range requests {
		var f inflow
		f.look(true)
		f.add([]byte(request + "GET"))
		if behind := f.claim(parse(t, request)); behind != len("GET") {
			t.Errorf("%d bytes are left of 3 behind %.40q", behind, request)
		}
	}
}

// TestRequestClaimsItsRecords holds recordOverhead to the crypto/tls that compiles us, however the records are cut up.
func TestRequestClaimsItsRecords(t *testing.T) {
	for _, c := range []struct {
		version, suite uint16
		known          bool
	}{
		{tls.VersionTLS13, 0, true},
		{tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, true},
		{tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, true},
		{tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, false},
	} {
		hello, sent, state := encrypted(t, c.version, c.suite, requests)
		for _, piece := range []int{1, 7, 1 << 20} {
			var f inflow
			feed := func(b []byte) {
				for len(b) > 0 {
					n := min(piece, len(b))
					f.add(b[:n])
					b = b[n:]
				}
			}
			feed(hello)
			f.look(true)
			for i, request := range requests {
				feed(sent[i])
				r := parse(t, request)
				r.TLS = &state
				if behind := f.claim(r); (behind == 0) != c.known || f.halfway() {
					t.Errorf("%s: %d bytes are left behind %.40q, half a record: %t", tls.CipherSuiteName(state.CipherSuite), behind, request, f.halfway())
				}
				feed(sent[i][:len(sent[i])-1])
				if !f.halfway() {
					t.Error("the last record of a request lacks a byte, and is whole")
				}
				feed(sent[i][len(sent[i])-1:])
				f.look(true)
			}
		}
	}
}

// encrypted is what a client writes to shake hands, and for each of the texts.
func encrypted(t *testing.T, version, suite uint16, texts []string) (hello []byte, sent [][]byte, state tls.ConnectionState) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"h"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	server := tls.Server(far, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, CipherSuites: []uint16{suite}})
	served := make(chan struct{})
	go func() {
		defer close(served)
		_, _ = io.Copy(io.Discard, server)
	}()
	record := &tap{Conn: near}
	client := tls.Client(record, &tls.Config{InsecureSkipVerify: true, MaxVersion: version, CipherSuites: []uint16{suite}})
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	take := func() []byte {
		b := bytes.Clone(record.Bytes())
		record.Reset()
		return b
	}
	hello = take()
	for _, text := range texts {
		if _, err := io.WriteString(client, text); err != nil {
			t.Fatal(err)
		}
		sent = append(sent, take())
	}
	_ = near.Close()
	<-served
	return hello, sent, client.ConnectionState()
}

// tap keeps what is written.
type tap struct {
	net.Conn
	bytes.Buffer
}

func (r *tap) Read(p []byte) (int, error) { return r.Conn.Read(p) }

func (r *tap) Write(p []byte) (int, error) {
	r.Buffer.Write(p)
	return r.Conn.Write(p)
}
