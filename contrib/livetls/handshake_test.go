package livetls

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/handover-go/handover/contrib/livetls/internal/record"
)

// patience bounds every wait: none comes near it unless something is lost.
const patience = 10 * time.Second

// authority signs certificates.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t, pool: x509.NewCertPool()}
	a.cert, a.key = a.sign(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) sign(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour)
	template.Subject = pkix.Name{CommonName: fmt.Sprint("subject ", template.SerialNumber)}
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	parent, by := a.cert, a.key
	if parent == nil {
		parent, by = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		a.t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return c, key
}

// leaf is one for a server, or for a client.
func (a *authority) leaf(use x509.ExtKeyUsage) tls.Certificate {
	c, key := a.sign(&x509.Certificate{DNSNames: []string{"server.test"}, ExtKeyUsage: []x509.ExtKeyUsage{use}})
	return tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key, Leaf: c}
}

// pair is both ends of a connection of TCP.
func pair(t testing.TB) (client, server net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if client, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.Conn{client, server} {
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(patience))
	}
	return client, server
}

// handshake is one between a client of crypto/tls and this package.
type handshake struct {
	client *tls.Conn
	raw    net.Conn // the server's
	trace  *trace
	up     *established
	why    string
}

// shakeHands has both configurations agree. below is put under the client.
func shakeHands(t testing.TB, server, client *tls.Config, below func(net.Conn) net.Conn) *handshake {
	t.Helper()
	near, far := pair(t)
	if below != nil {
		near = below(near)
	}
	h := &handshake{client: tls.Client(near, client), raw: far, trace: &trace{Conn: far}}
	shaken := make(chan error, 1)
	go func() { shaken <- h.client.Handshake() }()
	c := tls.Server(h.trace, secretive(server))
	err := c.Handshake()
	h.trace.finish()
	if its := <-shaken; err != nil || its != nil {
		t.Fatalf("the server's handshake: %v, the client's: %v", err, its)
	}
	h.up, h.why = h.trace.establish(c.ConnectionState(), []string{"http/1.1"})
	return h
}

// configs are those of a server and a client that trusts it.
func configs(t testing.TB) (server, client *tls.Config) {
	a := newAuthority(t)
	server = &tls.Config{Certificates: []tls.Certificate{a.leaf(x509.ExtKeyUsageServerAuth)}, NextProtos: []string{"h2", "http/1.1"}}
	return server, &tls.Config{RootCAs: a.pool, ServerName: "server.test", NextProtos: []string{"http/1.1"}}
}

// exchange has both sides say something, and hear it.
func exchange(t testing.TB, client, server net.Conn, text string) {
	t.Helper()
	for _, ends := range [][2]net.Conn{{client, server}, {server, client}} {
		wrote := make(chan error, 1)
		go func() {
			_, err := io.WriteString(ends[0], text)
			wrote <- err
		}()
		got := make([]byte, len(text))
		_, err := io.ReadFull(ends[1], got)
		if wrote := <-wrote; err != nil || wrote != nil || !bytes.Equal(got, []byte(text)) {
			t.Fatalf("%.40q comes as %.40q: %v, %v", text, got, wrote, err)
		}
	}
}

// moves has the connection go through as many states as there are upgrades, and be used in between.
func (h *handshake) moves(t testing.TB, upgrades int) *established {
	t.Helper()
	if h.up == nil {
		t.Fatalf("the connection stays: %s", h.why)
	}
	below, up := &pipe{Conn: h.raw, unread: h.trace.remainder()}, h.up
	for n := range upgrades {
		c := newConn(below, up)
		exchange(t, h.client, c, fmt.Sprintf("%d %s", n, bytes.Repeat([]byte("text "), n*4000)))
		if !c.leave() {
			t.Fatal("the connection cannot be detached")
		}
		state := c.left.encode()
		below.unread = c.left.record.Raw
		next, err := decode(state)
		if err != nil {
			t.Fatal(err)
		}
		clear(state)
		up = next
	}
	return up
}

// dribbling passes on byte by byte what is written first: a handshake.
type dribbling struct {
	net.Conn
	left int
}

func (d *dribbling) Write(p []byte) (int, error) {
	for i := range p {
		if d.left--; d.left < 0 {
			n, err := d.Conn.Write(p[i:])
			return i + n, err
		}
		if _, err := d.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

// TestEveryHandshakeOfTLS13CanBeTakenOver, whatever of it there is. Guard: trace.wrote, "t.sealing.Open"; without it tickets are not counted, and the client
// cannot open what comes behind them.
func TestEveryHandshakeOfTLS13CanBeTakenOver(t *testing.T) {
	for of, change := range map[string]func(server, client *tls.Config){
		"as it comes":     func(_, _ *tls.Config) {},
		"without tickets": func(s, _ *tls.Config) { s.SessionTicketsDisabled = true },
		"hello retry request": func(s, c *tls.Config) {
			s.CurvePreferences, c.CurvePreferences = []tls.CurveID{tls.CurveP384}, []tls.CurveID{tls.X25519, tls.CurveP384}
		},
		"no protocol": func(_, c *tls.Config) { c.NextProtos = nil },
		"no name":     func(_, c *tls.Config) { c.InsecureSkipVerify, c.ServerName = true, "" },
		"a chosen config": func(s, _ *tls.Config) {
			own := s.Clone()
			s.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return own, nil }
		},
		"a client certificate": func(s, c *tls.Config) {
			a := newAuthority(t)
			s.ClientCAs, s.ClientAuth, c.Certificates = a.pool, tls.RequireAndVerifyClientCert, []tls.Certificate{a.leaf(x509.ExtKeyUsageClientAuth)}
		},
	} {
		for how, below := range map[string]func(net.Conn) net.Conn{"": nil, " byte by byte": func(c net.Conn) net.Conn { return &dribbling{c, 3000} }} {
			t.Run(of+how, func(t *testing.T) {
				server, client := configs(t)
				server.SetSessionTicketKeys([][32]byte{{1}}) // as each handshake has a clone of its own
				change(server, client)
				client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
				for _, resumed := range []bool{false, !server.SessionTicketsDisabled && client.ServerName != ""} {
					h := shakeHands(t, server, client, below)
					if got := h.client.ConnectionState().DidResume; got != resumed {
						t.Errorf("resumed %t; want %t", got, resumed)
					}
					want := h.client.ConnectionState()
					up := h.moves(t, 10)
					if got := up.tls; got.CipherSuite != want.CipherSuite || got.NegotiatedProtocol != want.NegotiatedProtocol || got.ServerName != client.ServerName ||
						got.DidResume != resumed || got.HelloRetryRequest != (of == "hello retry request") || got.CurveID != want.CurveID ||
						!got.HandshakeComplete || len(got.PeerCertificates) != len(client.Certificates) {
						t.Errorf("in the end the state is %+v", got)
					}
				}
			})
		}
	}
}

// TestWhatComesRightBehindTheHandshakeIsNotLost: a client sends its request with its Finished.
func TestWhatComesRightBehindTheHandshakeIsNotLost(t *testing.T) {
	server, client := configs(t)
	near, far := pair(t)
	joined := &joining{Conn: near}
	c := tls.Client(joined, client)
	go func() {
		joined.holdsFrom = 2 // its Finished
		if c.Handshake() == nil {
			_, _ = io.WriteString(c, "at once")
			_ = joined.flush()
		}
	}()
	tr := &trace{Conn: far}
	s := tls.Server(tr, secretive(server))
	if err := s.Handshake(); err != nil {
		t.Fatal(err)
	}
	tr.finish()
	up, why := tr.establish(s.ConnectionState(), []string{"http/1.1"})
	if up == nil {
		t.Fatal(why)
	}
	rest := tr.remainder()
	if len(rest) == 0 {
		t.Error("nothing was read with the end of the handshake: the test is none")
	}
	got := make([]byte, 7)
	if _, err := io.ReadFull(newConn(&pipe{Conn: far, unread: rest}, up), got); err != nil || string(got) != "at once" {
		t.Errorf("read %q, %v", got, err)
	}
}

// joining holds back what is written from the so-manyth time on, until it is flushed.
type joining struct {
	net.Conn
	writes, holdsFrom int
	held              []byte
}

func (j *joining) Write(p []byte) (int, error) {
	if j.writes++; j.writes < j.holdsFrom {
		return j.Conn.Write(p)
	}
	j.held = append(j.held, p...)
	return len(p), nil
}

func (j *joining) flush() error {
	_, err := j.Conn.Write(j.held)
	return err
}

// TestConnectionsThatStay say why, and leave no secret with the trace, which lives as long as they do. Guard: trace.forget, "t.in, t.out, t.sealing = nil".
func TestConnectionsThatStay(t *testing.T) {
	for why, change := range map[string]func(server, client *tls.Config){
		whyVersion:  func(_, c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
		whyProtocol: func(_, c *tls.Config) { c.NextProtos = []string{"h2"} },
		whyKeyLog:   func(s, _ *tls.Config) { s.KeyLogWriter = io.Discard },
	} {
		server, client := configs(t)
		change(server, client)
		h := shakeHands(t, server, client, nil)
		if h.up != nil || h.why != why {
			t.Errorf("%s: %v, %q", why, h.up, h.why)
		}
		if tr := h.trace; tr.in != nil || tr.out != nil || tr.sealing != nil {
			t.Errorf("%s: the secrets are still there", why)
		}
	}
}

// TestDoubtfulHandshakeIsNotTakenOver: where secrets or numbers are not known for certain; and they are overwritten. Guard: trace.forget, "t.sealing.Clear()".
func TestDoubtfulHandshakeIsNotTakenOver(t *testing.T) {
	secret := bytes.Repeat([]byte{1}, 32)
	state := tls.ConnectionState{Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256}
	known := func() *trace {
		return &trace{suite: state.CipherSuite, in: bytes.Clone(secret), out: bytes.Clone(secret)}
	}
	if up, why := known().establish(state, nil); up == nil {
		t.Fatalf("one without doubt stays: %s", why)
	}
	for of, change := range map[string]func(*trace){
		"no secret of the client":      func(t *trace) { t.in = nil },
		"no secret of ours":            func(t *trace) { t.out = nil },
		"a secret of another length":   func(t *trace) { t.in = t.in[:20] },
		"another suite":                func(t *trace) { t.suite = tls.TLS_CHACHA20_POLY1305_SHA256 },
		"a record went out in part":    func(t *trace) { t.broken = true },
		"a record is still to be read": func(t *trace) { t.rest = 1 },
	} {
		tr := known()
		tr.sealing, _ = record.NewHalf(state.CipherSuite, secret, 1)
		change(tr)
		in, sealing := tr.in, tr.sealing
		if up, why := tr.establish(state, nil); up != nil || why != whyHandshake {
			t.Errorf("%s: %v, %q", of, up, why)
		}
		if tr.in != nil || tr.out != nil || tr.sealing != nil || bytes.Contains(in, []byte{1}) || sealing.Secret() != nil {
			t.Errorf("%s: the secrets are still there", of)
		}
	}
}

// short takes a part of what is written.
type short struct{ net.Conn }

func (short) Write(p []byte) (int, error) { return len(p) - 1, io.ErrShortWrite }

// whole takes all of it.
type sink struct{ net.Conn }

func (sink) Write(p []byte) (int, error) { return len(p), nil }

func TestWriteThatIsNotOfWholeRecordsIsDoubted(t *testing.T) {
	record := []byte{typeApplication, 3, 3, 0, 1, 0}
	for of, c := range map[string]struct {
		below net.Conn
		sent  []byte
		want  bool
	}{
		"a record":              {sink{}, record, false},
		"two":                   {sink{}, append(record, record...), false},
		"one that fails":        {short{}, record, true},
		"half a header":         {sink{}, record[:3], true},
		"half a record":         {sink{}, record[:5], true},
		"one and a half":        {sink{}, append(bytes.Clone(record), 23, 3), true},
		"a ServerHello in bits": {sink{}, []byte{typeHandshake, 3, 3, 0, 1, serverHello}, false},
	} {
		tr := &trace{Conn: c.below}
		_, _ = tr.Write(c.sent)
		if tr.broken != c.want {
			t.Errorf("%s: doubted %t", of, tr.broken)
		}
	}
}
