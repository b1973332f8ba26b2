package control

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/host/audit"
)

const nobody = 65534

// asNobody asks at the socket as another user, by another process.
func (r *rig) asNobody() string {
	r.t.Helper()
	cmd := exec.Command(r.program(), "-test.run=^$")
	cmd.Dir = "/"
	cmd.Env = []string{"CONTROL_TEST_SOCKET=" + r.socket, "GORACE=atexit_sleep_ms=0"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("ask as user %d: %v: %s", nobody, err, out)
	}
	return string(out)
}

// program is a copy of this one that another user may execute.
func (r *rig) program() string {
	r.t.Helper()
	path := filepath.Join(r.dir, "program")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	self, err := os.Executable()
	must(r.t, err)
	from, err := os.Open(self)
	must(r.t, err)
	defer from.Close()
	// A child that is forked now would hold the file open for writing, and executing it would be refused (ETXTBSY).
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o755)
	must(r.t, err)
	_, err = io.Copy(to, from)
	must(r.t, errors.Join(err, to.Close()))
	return path
}

// TestViewerWhoUpgradesIsDeniedAndAudited needs to be root to become somebody else; TestRolesOverTLS shows the same to everybody.
func TestViewerWhoUpgradesIsDeniedAndAudited(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("not root")
		return
	}
	r := serve(t, Config{Access: Access{Viewers: []string{fmt.Sprint("uid:", nobody)}}})
	said := r.asNobody()
	if !strings.Contains(said, "services: done\nupgrade: denied\n") || !strings.Contains(said, "takes the role operator, and uid:65534 has viewer") {
		t.Errorf("a viewer: %s", said)
	}
	r.recorded("viewer upgrade shop 403 denied")
	all, err := audit.Read(r.log.Path(), audit.Query{})
	must(t, err)
	a := all[0]
	if a.Who.Peer == nil || a.Who.Peer.UID != nobody || a.Who.Peer.GID != nobody || a.Who.Peer.PID == os.Getpid() || a.From != "unix:"+r.socket {
		t.Errorf("%+v from %q", a.Who, a.From)
	}
	if source := a.What.Args["source"]; source != "https://redacted@example.com/shop.tar?redacted" {
		t.Errorf("the source is recorded as %q", source)
	}
	if len(r.agent.asked) != 1 {
		t.Errorf("the agent was asked: %q", r.agent.asked)
	}

	r.access(Access{Operators: []string{fmt.Sprint("gid:", nobody)}})
	if said := r.asNobody(); !strings.Contains(said, "upgrade: done") {
		t.Errorf("an operator: %s", said)
	}
	if by := r.agent.upgrade.By; by != "uid:65534 (operator)" {
		t.Errorf("the upgrade is by %q", by)
	}
	r.access(Access{})
	if said := r.asNobody(); !strings.Contains(said, "services: denied\nupgrade: denied\n") {
		t.Errorf("a stranger: %s", said)
	}
	r.recorded("viewer upgrade shop 403 denied", "operator upgrade shop 0", "operator upgrade shop 202  shop/12", "none services  403 denied", "none upgrade shop 403 denied")
}

// access changes who has which role.
func (r *rig) access(a Access) {
	r.t.Helper()
	admit, err := r.server.PrepareAccess(a)
	must(r.t, err)
	admit()
}

func TestAccessNamesItsWrongEntries(t *testing.T) {
	for entry, want := range map[string]string{
		"deploy": "give uid:N", "uid:": "give uid:N", "uid:x": "give a number", "gid:-1": "give a number", "user:no-such-user": "no-such-user",
		"group:no-such-group": "no-such-group", "host:a": "give uid:N",
	} {
		err := Access{Operators: []string{"uid:7", entry}}.Validate()
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), fmt.Sprintf("operators: %q", entry)) {
			t.Errorf("%q: %v", entry, err)
		}
	}
}

func TestHighestRoleHolds(t *testing.T) {
	g, err := Access{
		Viewers: []string{"gid:7", "uid:1001", "group:root"}, Operators: []string{"uid:1001", "gid:8"}, Admins: []string{"gid:9"},
	}.compile()
	must(t, err)
	for _, c := range []struct {
		uid, gid int
		groups   []int
		want     Role
	}{
		{1000, 1000, nil, None}, {1000, 7, nil, Viewer}, {1000, 1000, []int{5, 7}, Viewer}, {1001, 7, nil, Operator}, {1001, 1001, []int{9}, Admin},
		{1000, 7, []int{8}, Operator}, {0, 4711, nil, Admin}, {os.Geteuid(), 4711, nil, Admin}, {1000, 0, nil, Viewer},
	} {
		if got := g.ofPeer(c.uid, c.gid, func() []int { return c.groups }); got != c.want {
			t.Errorf("%+v is %s", c, got)
		}
	}
	if groups := groupsOf(0); len(groups) == 0 {
		t.Error("root is in no group")
	}
	if groups := groupsOf(1 << 30); groups != nil {
		t.Errorf("a user without a name is in %v", groups)
	}
}

// A stranger cannot fill the disk with his denials.
func TestDenialsOverAndOverAreCounted(t *testing.T) {
	var d denials
	clock, kept := time.Now(), 0
	for range 1000 {
		if omitted, keep := d.take("uid:7", clock); keep {
			if kept++; omitted > 0 {
				t.Errorf("%d left out", omitted)
			}
		}
	}
	if _, keep := d.take("uid:8", clock); kept != bucketSize || !keep {
		t.Errorf("%d of a thousand at once are kept; another caller is: %t", kept, keep)
	}
	if omitted, keep := d.take("uid:7", clock.Add(time.Second)); !keep || omitted != 1000-bucketSize {
		t.Errorf("a second later: %t, %d left out", keep, omitted)
	}
	for i := range 3 * maxBuckets {
		d.take(fmt.Sprint("cn:", i), clock)
	}
	if len(d.callers) > maxBuckets {
		t.Errorf("%d callers are remembered", len(d.callers))
	}
}

// authority signs certificates for a test.
type authority struct {
	t    *testing.T
	dir  string
	name string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir(), name: name}
	a.cert, a.key = a.sign(name, x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// sign makes NAME.pem and NAME.key.
func (a *authority) sign(name string, like x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(a.t, err)
	like.SerialNumber, like.NotBefore, like.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if like.Subject.CommonName == "" && len(like.URIs) == 0 {
		like.Subject = pkix.Name{CommonName: name}
	}
	parent, by := a.cert, a.key
	if parent == nil {
		parent, by = &like, key
	}
	der, err := x509.CreateCertificate(rand.Reader, &like, parent, &key.PublicKey, by)
	must(a.t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	must(a.t, err)
	must(a.t, os.WriteFile(a.file(name+".pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(a.t, os.WriteFile(a.file(name+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	cert, err := x509.ParseCertificate(der)
	must(a.t, err)
	return cert, key
}

func (a *authority) client(name string, like x509.Certificate) *tls.Config {
	a.t.Helper()
	like.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	a.sign(name, like)
	c, err := ClientTLS(a.file(name+".pem"), a.file(name+".key"), a.file(a.name+".pem"))
	must(a.t, err)
	return c
}

func TestRolesOverTLS(t *testing.T) {
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	ours.sign("agent", x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	config, err := TLSConfig(ours.file("agent.pem"), ours.file("agent.key"), ours.file("ours.pem"))
	must(t, err)
	workload, err := url.Parse("spiffe://example.com/deployer")
	must(t, err)
	r := serve(t, Config{TLS: config, Access: Access{Viewers: []string{"cn:watcher"}, Operators: []string{"uri:spiffe://example.com/deployer"}}})
	address := r.serveTCP()

	viewer := dial(t, address, ours.client("watcher", x509.Certificate{}))
	if a, err := viewer.Agent(t.Context()); err != nil || a.Role != "viewer" {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := viewer.Upgrade(t.Context(), "shop", UpgradeRequest{}); !errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), "cn:watcher has viewer") {
		t.Error(err)
	}
	operator := dial(t, address, ours.client("deployer", x509.Certificate{Subject: pkix.Name{CommonName: "some pod"}, URIs: []*url.URL{workload}}))
	if u, err := operator.Upgrade(t.Context(), "shop", UpgradeRequest{}); err != nil || u.By != "uri:spiffe://example.com/deployer (operator)" {
		t.Errorf("%+v, %v", u, err)
	}
	if _, err := operator.Upgrade(t.Context(), "shop", UpgradeRequest{Binary: "/opt/shop"}); !errors.Is(err, ErrDenied) {
		t.Errorf("a binary by an operator: %v", err)
	}
	if _, err := operator.Upgrade(t.Context(), "shop", UpgradeRequest{AllowOlder: true}); !errors.Is(err, ErrDenied) {
		t.Errorf("an older release by an operator: %v", err)
	}
	if _, err := operator.Audit(t.Context(), 0, 0, ""); !errors.Is(err, ErrDenied) {
		t.Errorf("the audit log for an operator: %v", err)
	}
	stranger := dial(t, address, ours.client("stranger", x509.Certificate{}))
	if _, err := stranger.Services(t.Context()); !errors.Is(err, ErrDenied) {
		t.Error(err)
	}
	r.recorded("viewer upgrade shop 403 denied", "operator upgrade shop 0", "operator upgrade shop 202  shop/12", "operator upgrade shop 403 denied", "operator upgrade shop 403 denied",
		"operator audit  403 denied", "none services  403 denied")
	all, err := audit.Read(r.log.Path(), audit.Query{})
	must(t, err)
	if a := all[0]; a.Who.Subject != "cn:watcher" || a.Who.Peer != nil || !strings.HasPrefix(a.From, "tcp:127.0.0.1:") {
		t.Errorf("%+v from %q", a.Who, a.From)
	}

	foreign := theirs.client("watcher", x509.Certificate{})
	foreign.RootCAs = ours.client("x", x509.Certificate{}).RootCAs
	without := foreign.Clone()
	without.Certificates = nil
	server := ours.client("y", x509.Certificate{})
	server.RootCAs = foreign.Clone().RootCAs
	for name, c := range map[string]*tls.Config{"of another authority": foreign, "none": without} {
		if _, err := dial(t, address, c).Services(t.Context()); err == nil || class(err) == "denied" {
			t.Errorf("certificate %s: %v", name, err)
		}
	}
	old := ours.client("watcher", x509.Certificate{})
	old.MaxVersion = tls.VersionTLS12
	if c, err := tls.Dial("tcp", strings.TrimPrefix(address, "https://"), old); err == nil {
		_ = c.Close()
		t.Error("TLS 1.2 is spoken")
	}
}

func dial(t *testing.T, address string, c *tls.Config) *Client {
	t.Helper()
	client, err := Dial(address, Options{TLS: c})
	must(t, err)
	t.Cleanup(client.Close)
	return client
}
