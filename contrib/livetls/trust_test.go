package livetls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"
	"time"
)

// TestClientIsTrustedAsAtAHandshake: a build lets in who comes from another one if it would have let it in itself, and by that alone.
func TestClientIsTrustedAsAtAHandshake(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	known, foreign, server := ours.leaf(x509.ExtKeyUsageClientAuth).Leaf, theirs.leaf(x509.ExtKeyUsageClientAuth).Leaf, ours.leaf(x509.ExtKeyUsageServerAuth).Leaf
	middle := &authority{t: t}
	middle.cert, middle.key = ours.sign(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	distant := middle.leaf(x509.ExtKeyUsageClientAuth).Leaf
	later := func() time.Time { return time.Now().Add(2 * time.Hour) }
	refuses := errors.New("refused")
	none := []*x509.Certificate(nil)
	for _, c := range []struct {
		of     string
		config *tls.Config
		given  []*x509.Certificate
		trusts bool
		chains int
	}{
		{"nothing wanted, nothing given", &tls.Config{}, none, true, 0},
		{"nothing wanted, one given", &tls.Config{}, []*x509.Certificate{known}, false, 0},
		{"asked, not given", &tls.Config{ClientAuth: tls.RequestClientCert}, none, true, 0},
		{"asked, any given", &tls.Config{ClientAuth: tls.RequestClientCert}, []*x509.Certificate{foreign}, true, 0},
		{"any wanted, not given", &tls.Config{ClientAuth: tls.RequireAnyClientCert}, none, false, 0},
		{"any wanted, any given", &tls.Config{ClientAuth: tls.RequireAnyClientCert}, []*x509.Certificate{foreign}, true, 0},
		{"a known one if any, not given", &tls.Config{ClientAuth: tls.VerifyClientCertIfGiven}, none, true, 0},
		{"a known one if any, known", &tls.Config{ClientAuth: tls.VerifyClientCertIfGiven}, []*x509.Certificate{known}, true, 1},
		{"a known one if any, foreign", &tls.Config{ClientAuth: tls.VerifyClientCertIfGiven}, []*x509.Certificate{foreign}, false, 0},
		{"a known one, not given", &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert}, none, false, 0},
		{"a known one, known", &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert}, []*x509.Certificate{known}, true, 1},
		{"a known one, foreign", &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert}, []*x509.Certificate{foreign}, false, 0},
		{"a known one, with the one between", &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert}, []*x509.Certificate{distant, middle.cert}, true, 1},
		{"a known one, without it", &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert}, []*x509.Certificate{distant}, false, 0},
		{"a known one, for servers", &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert}, []*x509.Certificate{server}, false, 0},
		{"a known one, expired", &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, Time: later}, []*x509.Certificate{known}, false, 0},
		{"asked, expired", &tls.Config{ClientAuth: tls.RequestClientCert, Time: later}, []*x509.Certificate{known}, true, 0},
		{"VerifyPeerCertificate refuses", &tls.Config{ClientAuth: tls.RequestClientCert, VerifyPeerCertificate: func([][]byte, [][]*x509.Certificate) error { return refuses }}, []*x509.Certificate{known}, false, 0},
		{"VerifyPeerCertificate has none to refuse", &tls.Config{VerifyPeerCertificate: func([][]byte, [][]*x509.Certificate) error { return refuses }}, none, true, 0},
		{"VerifyConnection refuses", &tls.Config{VerifyConnection: func(tls.ConnectionState) error { return refuses }}, none, false, 0},
		{"VerifyConnection panics", &tls.Config{VerifyConnection: func(tls.ConnectionState) error { panic("no") }}, none, false, 0},
	} {
		c.config.ClientCAs = ours.pool
		e := &established{tls: tls.ConnectionState{Version: tls.VersionTLS13, PeerCertificates: c.given}}
		err := trust{c.config}.verify(e)
		if trusts := err == nil; trusts != c.trusts || trusts && len(e.tls.VerifiedChains) != c.chains {
			t.Errorf("%s: trusted %t, %v, %d chains", c.of, trusts, err, len(e.tls.VerifiedChains))
		}
	}
}

// TestFunctionsOfTheProgramSeeTheClient: its certificates, the chains that they have here, and what was negotiated.
func TestFunctionsOfTheProgramSeeTheClient(t *testing.T) {
	a := newAuthority(t)
	given := a.leaf(x509.ExtKeyUsageClientAuth).Leaf
	var raw [][]byte
	var seen tls.ConnectionState
	config := &tls.Config{
		ClientCAs: a.pool, ClientAuth: tls.RequireAndVerifyClientCert,
		VerifyPeerCertificate: func(its [][]byte, chains [][]*x509.Certificate) error {
			raw = its
			if len(chains) != 1 || len(chains[0]) != 2 {
				t.Errorf("chains %v", chains)
			}
			return nil
		},
		VerifyConnection: func(s tls.ConnectionState) error { seen = s; return nil },
	}
	e := &established{tls: tls.ConnectionState{ServerName: "server.test", NegotiatedProtocol: "http/1.1", PeerCertificates: []*x509.Certificate{given}}}
	if err := (trust{config}).verify(e); err != nil {
		t.Fatal(err)
	}
	if len(raw) != 1 || string(raw[0]) != string(given.Raw) {
		t.Errorf("certificates %x", raw)
	}
	if seen.ServerName != "server.test" || seen.NegotiatedProtocol != "http/1.1" || len(seen.VerifiedChains) != 1 {
		t.Errorf("the state is %+v", seen)
	}
}

// TestConfigurationForWhoComesIsChosen by the program's function, which may expect a connection that is not there.
func TestConfigurationForWhoComesIsChosen(t *testing.T) {
	strict := &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	e := &established{tls: tls.ConnectionState{ServerName: "server.test", NegotiatedProtocol: "http/1.1", CipherSuite: tls.TLS_AES_128_GCM_SHA256, CurveID: tls.X25519}}
	for of, c := range map[string]struct {
		choose func(*tls.ClientHelloInfo) (*tls.Config, error)
		trusts bool
	}{
		"the same": {func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil }, true},
		"by name": {func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			if h.ServerName == "server.test" {
				return strict, nil
			}
			return nil, nil
		}, false},
		"by protocol": {func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			if len(h.SupportedProtos) == 1 && h.SupportedProtos[0] == "http/1.1" {
				return strict, nil
			}
			return nil, nil
		}, false},
		"none":       {func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, errors.New("none") }, false},
		"by address": {func(h *tls.ClientHelloInfo) (*tls.Config, error) { _ = h.Conn.RemoteAddr(); return nil, nil }, false},
	} {
		if err := (trust{&tls.Config{GetConfigForClient: c.choose}}).verify(e); (err == nil) != c.trusts {
			t.Errorf("%s: %v", of, err)
		}
	}
}
