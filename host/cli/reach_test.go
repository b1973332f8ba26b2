package cli_test

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
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/host/cli"
	"github.com/handover-go/handover/host/internal/fake"
)

// authority signs certificates, and keeps them in a directory.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.key, a.cert = a.sign("ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// sign leaves NAME.crt and NAME.key. The first one signs itself.
func (a *authority) sign(name string, template *x509.Certificate) (*ecdsa.PrivateKey, *x509.Certificate) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(a.t, err)
	template.SerialNumber, template.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	check(a.t, err)
	cert, err := x509.ParseCertificate(der)
	check(a.t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	check(a.t, err)
	check(a.t, os.WriteFile(a.file(name+".crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	check(a.t, os.WriteFile(a.file(name+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	return key, cert
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// agentOf starts a fake agent of a runtime directory, which it returns.
func agentOf(t *testing.T, script string) (string, *fake.Agent) {
	t.Helper()
	dir, err := fake.Dir(t.TempDir())
	check(t, err)
	agent, err := fake.StartAgent(dir, script)
	check(t, err)
	t.Cleanup(func() { check(t, agent.Close()) })
	return dir, agent
}

func TestAgentOfAnotherHostIsAskedOverMutualTLS(t *testing.T) {
	ca := newAuthority(t)
	ca.sign("agent", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	for _, name := range []string{"deployer", "stranger"} {
		ca.sign(name, &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	}
	_, agent := agentOf(t, "kept")
	address, err := agent.ListenTLS(ca.file("agent.crt"), ca.file("agent.key"), ca.file("ca.crt"))
	check(t, err)
	for _, c := range []struct {
		as, command string
		code        int
		says        string
	}{
		{"deployer", "upgrade shop --release 1.5", 0, "1.5 serves"},
		{"deployer", "upgrade shop --binary /bin/true", 14, "takes the role admin"}, // which no release vouches for
		{"stranger", "services", 4, "denied"},
		{"stranger", "history shop", 14, "denied"},
	} {
		var out, errs bytes.Buffer
		args := append([]string{"handover", "--agent", address, "--cert", ca.file(c.as + ".crt"), "--key", ca.file(c.as + ".key"), "--ca", ca.file("ca.crt")},
			strings.Fields(c.command)...)
		code := cli.Run(t.Context(), args, nil, &out, &errs)
		if text := out.String() + errs.String(); code != c.code || !strings.Contains(text, c.says) {
			t.Errorf("%s as %s: exit %d, want %d with %q: %s", c.command, c.as, code, c.code, c.says, text)
		}
	}
}

func TestLogIsFollowedUntilItIsInterrupted(t *testing.T) {
	dir, _ := agentOf(t, "kept")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	out, errs := &until{lines: 4, reached: cancel}, bytes.Buffer{}
	if code := cli.Run(ctx, []string{"handover", "--runtime-dir", dir, "logs", "-f"}, nil, out, &errs); code != 0 {
		t.Errorf("exit %d: %s", code, errs.String())
	}
	if got := out.text.String(); got != strings.Repeat("shop has answered\n", 3)+"and goes on\n" {
		t.Errorf("%q", got)
	}
}

func TestStatusWatchTellsWhatChangesAtTheAgent(t *testing.T) {
	dir, agent := agentOf(t, "several")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var errs bytes.Buffer
	out := &until{lines: 3}
	out.reached = func() { // all three were told
		out.lines, out.reached = 6, cancel
		agent.Change("queue", "starting")
	}
	if code := cli.Run(ctx, []string{"handover", "--runtime-dir", dir, "status", "--watch", "--interval", "10ms"}, nil, out, &errs); code != 0 {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	if got := out.text.String(); strings.Count(got, "\n") != 6 || !strings.Contains(got, "queue  starting    generation - pid -, 0 connections, 0 draining, health unknown\n") {
		t.Errorf("%q", got)
	}
}

func TestUpgradeThatIsInterruptedGoesOn(t *testing.T) {
	dir, agent := agentOf(t, "waits")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	out, errs := &until{lines: 6, reached: cancel}, bytes.Buffer{}
	code := cli.Run(ctx, []string{"handover", "--runtime-dir", dir, "upgrade"}, nil, out, &errs)
	if code != 1 || !strings.Contains(errs.String(), "interrupted: what was asked for goes on") {
		t.Errorf("exit %d: %s", code, errs.String())
	}
	if asked := agent.Asked(); len(asked) != 1 {
		t.Errorf("asked %q", asked)
	}
}
