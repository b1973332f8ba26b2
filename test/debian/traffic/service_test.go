//go:build debian

package traffic

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
)

// patience bounds every run of a client: none comes near it unless something is lost.
const patience = time.Minute

// service is one that speaks unencrypted HTTP/2 at one address, and HTTP/2 over TLS at another.
type service struct {
	*handovertest.Running
	t             *testing.T
	plain, secure string // addresses
	roots         string // a file
}

func start(t *testing.T, env ...string) *service {
	t.Helper()
	s := &service{t: t, plain: handovertest.FreeAddress(t), secure: handovertest.FreeAddress(t)}
	certFile, keyFile := certificate(t)
	s.roots = certFile
	s.Running = handovertest.Start(t, handovertest.Service{
		Path: handovertest.Build(t, "../../service"), Address: s.plain, Network: "tcp",
		Env: append([]string{
			"ADDR=" + s.plain + ",tls:" + s.secure, "TLS_CERT=" + certFile, "TLS_KEY=" + keyFile, "HANDOVER_PROBATION=20ms",
			"HANDOVER_DRAIN_TIMEOUT=1m",
		}, env...),
	})
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.Output(50))
		}
	})
	return s
}

// client runs a command while the service is upgraded again and again, and returns what it said and how many upgrades there
// were. It fails the test if the command does.
func (s *service) client(input string, name string, args ...string) (output string, upgrades int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &out
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	pause := time.NewTicker(400 * time.Millisecond)
	defer pause.Stop()
	for {
		select {
		case err := <-ended:
			if err != nil {
				s.t.Fatalf("%s: %v\n%s", name, err, &out)
			}
			return out.String(), upgrades
		case <-pause.C:
			s.Upgrade(1)
			upgrades++
		}
	}
}

// certificate makes a pair for the loopback address.
func certificate(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "service"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}
