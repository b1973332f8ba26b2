package interop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc/credentials"
)

func TestDefaultClientsSeeNoErrorInAHundredUpgrades(t *testing.T) {
	s := start(t)
	l := s.drive()
	s.Upgrade(upgrades())
	l.stop(upgrades() / 2)
}

func TestClientsOverTLSSeeNoError(t *testing.T) {
	cert, key := selfSigned(t)
	creds, err := credentials.NewClientTLSFromFile(cert, "localhost")
	if err != nil {
		t.Fatal(err)
	}
	s := startWith(t, creds, "CERT="+cert, "KEY="+key)
	l := s.drive("-ca", cert)
	for range 3 {
		s.Upgrade(1)
		l.answered() // else its few new connections may not come before the next upgrade
	}
	l.stop(4)
}

// A client that checks the health of its connections fails calls when it hears NOT_SERVING before it has made another.
func TestClientsThatCheckHealthSeeNoError(t *testing.T) {
	s := start(t)
	l := s.drive("-config", `{"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}}`)
	s.Upgrade(upgrades())
	l.stop(upgrades() / 2)
}

// A connection on which nobody speaks is in its handshake for ever, and GOAWAY waits for handshakes.
func TestSilentConnectionDoesNotHoldUpGOAWAY(t *testing.T) {
	s := start(t)
	silent, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	client := s.connect()
	s.answered(client, s.PID()) // so silent, which was in the queue before, is accepted
	s.Upgrade(1)
	s.leaves(client)
	if err := silent.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for buffer := make([]byte, 1<<10); err == nil; { // the server's SETTINGS, which it sends first
		_, err = silent.Read(buffer)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the silent connection stays")
	}
}

// selfSigned makes a certificate for localhost, and returns the files of it and its key.
func selfSigned(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, content []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", encoded)
}
