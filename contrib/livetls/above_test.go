package livetls

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover"
)

// listening is a listener of a process with sessions of that kind.
func listening(t *testing.T, kind string, serve func(*handover.Session) error, admit func(state []byte) error) *listener {
	t.Helper()
	server, _ := configs(t)
	ctx, cancel := context.WithCancel(t.Context())
	p, err := handover.New(ctx, handover.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = p.Run(ctx) // which closes what there is
	})
	below, err := p.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln, err := Listen(p, below, server)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Sessions(kind, serve), p.AdmitSessions(kind, admit)); err != nil {
		t.Fatal(err)
	}
	return ln.(*listener)
}

// bringing is a connection that comes from another generation with a session of that kind and state.
func bringing(t *testing.T, kind string, state []byte) *established {
	t.Helper()
	server, client := configs(t)
	up := shakeHands(t, server, client, nil).moves(t, 1)
	up.above = &session{kind, state}
	return up
}

// TestProgramDecidesOnTheSessionOfAConnection, by its state, before it is taken. Guard: listener.admit, "AdmitCarried".
func TestProgramDecidesOnTheSessionOfAConnection(t *testing.T) {
	none := errors.New("of another format")
	l := listening(t, "words", func(*handover.Session) error { return nil }, func(state []byte) error {
		if string(state) != "known" {
			return none
		}
		return nil
	})
	for _, c := range []struct {
		kind, state string
		want        error
	}{{"words", "known", nil}, {"words", "strange", none}} {
		if _, err := l.admit(bringing(t, c.kind, []byte(c.state)).encode()); !errors.Is(err, c.want) {
			t.Errorf("a session of kind %q and state %q: %v; want %v", c.kind, c.state, err, c.want)
		}
	}
	if _, err := l.admit(bringing(t, "unknown", nil).encode()); err == nil {
		t.Error("a session is taken that nobody here serves")
	}
}

// TestSessionThatHasArrivedLeavesAsItLetsGo, not as its handler returns: its client waits meanwhile. Guard: listener.goOn, "go func".
func TestSessionThatHasArrivedLeavesAsItLetsGo(t *testing.T) {
	begins, letGo, returns := make(chan *conn, 1), make(chan error, 1), make(chan struct{})
	l := listening(t, "words", func(*handover.Session) error {
		letGo <- (<-begins).Carry("words", nil, nil) // as LetGo does
		<-returns
		return nil
	}, func([]byte) error { return nil })
	defer close(returns)
	up := bringing(t, "words", nil)
	_, far := pair(t)
	c := newConn(&pipe{Conn: far}, up)
	begins <- c
	leaves := make(chan bool, 1)
	go func() {
		l.goOn(c, up)
		<-c.done
		leaves <- c.left != nil
	}()
	if err := <-letGo; err != nil {
		t.Fatal(err)
	}
	select {
	case left := <-leaves:
		if !left {
			t.Error("it has ended in place of leaving")
		}
	case <-time.After(patience):
		t.Error("it waits for its handler to return")
	}
}

// TestSessionHasRoomForWhatItMayTakeAlong beside what its connection does, and if that is too much nothing has happened. Guards: conn.Carry, "left.size()";
// own, "range".
func TestSessionHasRoomForWhatItMayTakeAlong(t *testing.T) {
	server, client := configs(t)
	client.DynamicRecordSizingDisabled = true
	h := shakeHands(t, server, client, nil)
	certificate := newAuthority(t).leaf(x509.ExtKeyUsageClientAuth).Leaf
	h.up.tls.PeerCertificates = slices.Repeat([]*x509.Certificate{certificate}, (maxOwn-own(&h.up.tls))/(len(certificate.Raw)+3))
	h.up.tls.ServerName += strings.Repeat("n", maxOwn-own(&h.up.tls))
	c := newConn(&pipe{Conn: h.raw, unread: h.trace.remainder()}, h.up)
	record, state, unread := bytes.Repeat([]byte("record "), 16<<10/7), make([]byte, handover.MaxSessionState), make([]byte, handover.MaxSessionUnread)
	read := make([]byte, len(record))
	begin := func() {
		t.Helper()
		_, wrote := h.client.Write(record)
		if _, err := c.Read(read[:1]); err != nil || wrote != nil {
			t.Fatal(err, wrote)
		}
	}
	begin()
	if err := c.Carry("words", state, append(unread, record...)); err == nil {
		t.Fatal("it takes more along than there is room for")
	}
	if _, err := io.ReadFull(c, read[1:]); err != nil || !bytes.Equal(read, record) {
		t.Fatalf("it does not go on as it was: %v", err)
	}
	exchange(t, h.client, c, "and on")
	begin()
	if err := c.Carry("words", state, unread); err != nil {
		t.Fatal(err)
	}
	if n, measured := len(c.left.encode()), c.left.size(); n > measured || measured > handover.MaxCarrierState {
		t.Errorf("%d bytes go along, measured as %d; at most %d can", n, measured, handover.MaxCarrierState)
	}
}

// TestConnectionWhoseClientHasTooManyCertificatesStays: there is no room for them beside a session. Guard: trace.establish, "whySize".
func TestConnectionWhoseClientHasTooManyCertificatesStays(t *testing.T) {
	server, client := configs(t)
	server.ClientAuth = tls.RequestClientCert
	one := newAuthority(t).leaf(x509.ExtKeyUsageClientAuth)
	certificate := one.Certificate[0]
	for _, c := range []struct {
		bytes int
		why   string
	}{{16 << 10, ""}, {48 << 10, whySize}} {
		one.Certificate = slices.Repeat([][]byte{certificate}, c.bytes/len(certificate))
		client.Certificates = []tls.Certificate{one}
		if h := shakeHands(t, server, client, nil); h.why != c.why {
			t.Errorf("with %d bytes of certificates it stays for %q; want %q", c.bytes, h.why, c.why)
		}
	}
}
