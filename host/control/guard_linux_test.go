package control

import (
	"bufio"
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// remotely is a rig that serves over TLS too, at address, and the authority of its clients.
func remotely(t *testing.T, c Config) (r *rig, address string, ours *authority) {
	t.Helper()
	ours = newAuthority(t, "ours")
	ours.sign("agent", x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	var err error
	c.TLS, err = TLSConfig(ours.file("agent.pem"), ours.file("agent.key"), ours.file("ours.pem"))
	must(t, err)
	c.Access.Viewers = append(c.Access.Viewers, "cn:watcher")
	r = serve(t, c)
	return r, r.serveTCP(), ours
}

// TestStrangersKeepNobodyOut: whoever reaches the address may connect and say nothing. Guards: Server.strangers, which counts them apart from those at the
// unix socket, and Server.known, which counts who has shown a certificate apart from them.
func TestStrangersKeepNobodyOut(t *testing.T) {
	r, address, ours := remotely(t, Config{MaxClients: 2, MaxPerClient: 2})
	watcher := dial(t, address, ours.client("watcher", x509.Certificate{}))
	_, err := watcher.Services(t.Context())
	must(t, err)
	var strangers []net.Conn
	for range 3 {
		nc, err := net.Dial("tcp", strings.TrimPrefix(address, "https://"))
		must(t, err)
		defer nc.Close()
		strangers = append(strangers, nc)
	}
	closed := func(nc net.Conn, within time.Duration) bool {
		must(t, nc.SetDeadline(time.Now().Add(within)))
		_, err := nc.Read(make([]byte, 1))
		e, ok := err.(net.Error) //nolint:errorlint // net.Conn gives it as it is
		return !ok || !e.Timeout()
	}
	if !closed(strangers[2], patience/4) { // at once, where the others have IOTimeout
		t.Error("there is room for one too many")
	}
	if closed(strangers[1], 50*time.Millisecond) {
		t.Error("who has shown a certificate takes a stranger's place")
	}
	if _, err := watcher.Services(t.Context()); err != nil {
		t.Errorf("who has shown a certificate: %v", err)
	}
	nc := r.raw("GET /v1/services HTTP/1.1\r\nHost: agent\r\n\r\n")
	if answer, err := http.ReadResponse(bufio.NewReader(nc), nil); err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("at the unix socket: %+v, %v", answer, err)
	}
}

// TestClientsOverTLSAreLimited: who has shown a certificate has no more connections than he may, and what he asks on one too many is not done. Guard:
// Server.known.
func TestClientsOverTLSAreLimited(t *testing.T) {
	r, address, ours := remotely(t, Config{MaxClients: 1, Access: Access{Operators: []string{"cn:deployer"}}})
	watcher := dial(t, address, ours.client("watcher", x509.Certificate{}))
	_, err := watcher.Services(t.Context())
	must(t, err)
	deployer := dial(t, address, ours.client("deployer", x509.Certificate{}))
	if _, err := deployer.Stop(t.Context(), "shop"); err == nil {
		t.Error("a client too many was answered")
	}
	r.agent.mu.Lock()
	if asked := strings.Join(r.agent.asked, " "); asked != "services" {
		t.Errorf("the agent was asked: %s", asked)
	}
	r.agent.mu.Unlock()
	watcher.Close()
	r.until(func() bool { _, err := deployer.Stop(t.Context(), "shop"); return err == nil })
	deployer.Close()
	r.until(func() bool {
		for _, g := range []*guard{&r.server.remote, &r.server.strangers} {
			g.mu.Lock()
			left := g.sum
			g.mu.Unlock()
			if left != 0 {
				return false
			}
		}
		return true
	})
}

// TestAddressesOfOneClientCountAsOne. Guard: site.
func TestAddressesOfOneClientCountAsOne(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"2001:db8::1", "2001:db8::ffff:0:0:2", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
		{"fe80::1%lo", "fe80::2%eth0", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
	} {
		if a, b := site(netip.MustParseAddr(c.a)), site(netip.MustParseAddr(c.b)); (a == b) != c.same {
			t.Errorf("%s is counted as %s, %s as %s", c.a, a, c.b, b)
		}
	}
}
