package handover

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/handover-go/handover/internal/wire"
)

// TestTicketKeysRotateOnlyWhileNoHandoverIsUnderWay: in no other state is it settled who serves with them.
func TestTicketKeysRotateOnlyWhileNoHandoverIsUnderWay(t *testing.T) {
	for s := range gone {
		c := &clock{}
		p := &Process{config: defaults(t), tickets: c.tickets()}
		p.config.Logger = slog.New(slog.DiscardHandler)
		l := newLife(p, s)
		c.serverOf(t, p.tickets)
		c.pass(ticketRotation - time.Second)
		if l.rotate(); len(p.tickets.keys) != 1 {
			t.Errorf("%s: %d keys before one is due", s, len(p.tickets.keys))
		}
		c.pass(time.Second)
		l.rotate()
		if rotated := len(p.tickets.keys) == 2; rotated != (s == serving) {
			t.Errorf("%s: rotated %t; want it while serving alone", s, rotated)
		}
		l.state = serving
		if l.rotate(); len(p.tickets.keys) != 2 {
			t.Errorf("%s, then serving: %d keys; want the one that was due", s, len(p.tickets.keys))
		}
	}
}

// TestTicketOutlivesRotationsForItsLifetime: the last one that a key has made is honoured for 7 days, and what is older is
// forgotten.
func TestTicketOutlivesRotationsForItsLifetime(t *testing.T) {
	c := &clock{}
	keys := c.tickets()
	server := c.serverOf(t, keys)
	client := newTicketClient()
	client.connect(t, server)
	for day := 1; day <= 7; day++ {
		c.pass(ticketRotation)
		if rotated, err := keys.rotate(); !rotated || err != nil {
			t.Fatalf("day %d: rotated %t, %v", day, rotated, err)
		}
		again := client.clone()
		if !again.connect(t, server) {
			t.Errorf("day %d: not resumed", day)
		}
	}
	if n := len(keys.keys); n != 8 {
		t.Errorf("after 7 days %d keys; want 8", n)
	}
	c.pass(ticketRotation)
	if _, err := keys.rotate(); err != nil {
		t.Fatal(err)
	}
	if n := len(keys.keys); n != 8 {
		t.Errorf("after 8 days %d keys; want 8", n)
	}
	if client.connect(t, server) {
		t.Error("resumed with a key that was to be forgotten")
	}
}

// TestTicketKeysThatTravelledOpenTheTicketsOfBothSides and are as old as they were, whatever the clocks say.
func TestTicketKeysThatTravelledOpenTheTicketsOfBothSides(t *testing.T) {
	here, there := &clock{}, &clock{passed: 1000 * time.Hour}
	incumbent, successor := here.tickets(), there.tickets()
	first, second := here.serverOf(t, incumbent), there.serverOf(t, successor)
	client := newTicketClient()
	client.connect(t, first)
	here.pass(ticketRotation)
	if _, err := incumbent.rotate(); err != nil {
		t.Fatal(err)
	}
	here.pass(time.Hour)
	m := incumbent.export()
	if err := successor.adopt(m); err != nil {
		t.Fatal(err)
	}
	if !client.connect(t, second) || !client.connect(t, first) {
		t.Error("not resumed with the other side")
	}
	if rotated, _ := successor.rotate(); rotated {
		t.Error("the successor rotates at once")
	}
	there.pass(ticketRotation - time.Hour)
	if rotated, _ := successor.rotate(); !rotated {
		t.Error("the successor does not rotate when the incumbent would have")
	}

	for name, bad := range map[string]wire.Carry{
		"schema": {FirstChunk: true, LastChunk: true, Schema: 2, Name: ticketItem, Data: m.Data},
		"half":   {FirstChunk: true, LastChunk: true, Schema: 1, Name: ticketItem, Data: m.Data[:len(m.Data)-1]},
		"chunk":  {FirstChunk: true, Schema: 1, Name: ticketItem, Data: m.Data},
		"none":   {FirstChunk: true, LastChunk: true, Schema: 1, Name: ticketItem},
		"flood":  {FirstChunk: true, LastChunk: true, Schema: 1, Name: ticketItem, Data: make([]byte, 40*(maxTicketKeys+1))},
	} {
		if err := successor.adopt(&bad); err == nil || len(successor.keys) != 3 {
			t.Errorf("%s: adopted, %v", name, err)
		}
	}
}

// TestSessionIsResumedUnderItsNameOnly, so that no server's demands on its clients are met at another.
func TestSessionIsResumedUnderItsNameOnly(t *testing.T) {
	c := &clock{}
	keys := c.tickets()
	client := newTicketClient()
	one, same, other := c.serverOf(t, keys), c.serverOf(t, keys), c.configOf(t)
	if err := keys.share("other", other); err != nil {
		t.Fatal(err)
	}
	client.connect(t, one)
	if !client.clone().connect(t, same.Clone()) {
		t.Error("not resumed under the same name, in a copy")
	}
	if client.connect(t, other) {
		t.Error("resumed under another name")
	}
}

// TestTicketsThatTheProgramManagesAreLeftToIt: whatever it has said about them holds.
func TestTicketsThatTheProgramManagesAreLeftToIt(t *testing.T) {
	c := &clock{}
	set := c.configOf(t)
	set.SetSessionTicketKeys([][32]byte{{1}})
	used := c.configOf(t)
	newTicketClient().connect(t, used)
	custom := c.configOf(t)
	custom.WrapSession = custom.EncryptTicket
	legacy := c.configOf(t)
	legacy.SessionTicketKey = [32]byte{1} //nolint:staticcheck // deprecated, and obeyed by crypto/tls
	off := c.configOf(t)
	off.SessionTicketsDisabled = true
	p := &Process{tickets: c.tickets()}
	for name, config := range map[string]*tls.Config{
		"keys": set, "copied keys": set.Clone(), "used": used, "functions": custom, "legacy key": legacy, "off": off,
	} {
		if err := p.CarryTickets("web", config); err == nil || config.UnwrapSession != nil {
			t.Errorf("%s: taken over, %v", name, err)
		}
	}
	fresh := c.configOf(t)
	if err := p.CarryTickets("web", fresh); err != nil {
		t.Error(err)
	}
	client := newTicketClient()
	client.connect(t, fresh)
	if !client.connect(t, fresh.Clone()) {
		t.Error("not resumed where nothing was said")
	}
}

// clock is the time of one process.
type clock struct{ passed time.Duration }

var beginning = time.Now()

func (c *clock) now() time.Time       { return beginning.Add(c.passed) }
func (c *clock) pass(d time.Duration) { c.passed += d }

func (c *clock) tickets() *tickets {
	t := newTickets()
	t.now = c.now
	return t
}

// serverOf is the configuration of a server with these keys.
func (c *clock) serverOf(t *testing.T, keys *tickets) *tls.Config {
	t.Helper()
	config := c.configOf(t)
	if err := keys.share("web", config); err != nil {
		t.Fatal(err)
	}
	return config
}

func (c *clock) configOf(t *testing.T) *tls.Config {
	t.Helper()
	return &tls.Config{Certificates: []tls.Certificate{pairOf(t, "web").certificate(t)}}
}

// ticketClient remembers the last session.
type ticketClient struct{ sessions tls.ClientSessionCache }

func newTicketClient() *ticketClient { return &ticketClient{tls.NewLRUClientSessionCache(1)} }

// clone is a client with the same ticket, which forgets the tickets that it gets.
func (c *ticketClient) clone() *ticketClient {
	again := newTicketClient()
	if s, ok := c.sessions.Get("web"); ok {
		again.sessions.Put("web", s)
	}
	return again
}

// connect makes one connection, and reports whether the session was resumed.
func (c *ticketClient) connect(t *testing.T, server *tls.Config) (resumed bool) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	defer served.Wait()
	defer ln.Close()
	served.Go(func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		_, _ = tls.Server(c, server).Write([]byte("hello"))
	})
	dialer := &net.Dialer{Timeout: patience}
	conn, err := tls.DialWithDialer(dialer, "tcp", ln.Addr().String(), &tls.Config{
		ServerName: "web", InsecureSkipVerify: true, ClientSessionCache: c.sessions,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(conn, make([]byte, len("hello"))); err != nil {
		t.Fatal(err)
	}
	return conn.ConnectionState().DidResume
}

// pair is a certificate and its key, as files have them.
type pair struct{ cert, key []byte }

func pairOf(t *testing.T, name string) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pair{
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}
}

func (p pair) certificate(t *testing.T) tls.Certificate {
	t.Helper()
	c, err := tls.X509KeyPair(p.cert, p.key)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
