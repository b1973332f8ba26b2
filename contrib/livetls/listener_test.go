package livetls

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover"
)

func TestHandshakeTimeoutIsNetHTTPs(t *testing.T) {
	for _, c := range []struct {
		of   *http.Server
		want time.Duration
	}{
		{&http.Server{}, handshakeTimeout},
		{&http.Server{IdleTimeout: time.Second}, handshakeTimeout},
		{&http.Server{ReadTimeout: 3 * time.Second, ReadHeaderTimeout: 2 * time.Second, WriteTimeout: 5 * time.Second}, 2 * time.Second},
		{&http.Server{ReadTimeout: -1, WriteTimeout: 5 * time.Second}, 5 * time.Second},
	} {
		if got := timeout(c.of); got != c.want {
			t.Errorf("%s; want %s", got, c.want)
		}
	}
}

// TestPanicOfTheProgramCostsOneConnection, and is logged where net/http's are. Guard: listener.handshake, "recover()".
func TestPanicOfTheProgramCostsOneConnection(t *testing.T) {
	server, client := configs(t)
	said := make(chan string, 1)
	l := &listener{
		server: &http.Server{ErrorLog: log.New(writer(func(p []byte) { said <- string(p) }), "", 0)}, ready: make(chan net.Conn), closed: make(chan struct{}),
		config: secretive(&tls.Config{Certificates: server.Certificates, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { panic("by the program") }}),
	}
	near, far := pair(t)
	shaken := make(chan error, 1)
	go func() { shaken <- tls.Client(near, client).Handshake() }()
	l.shake(far)
	if err := <-shaken; err == nil {
		t.Error("the handshake succeeded")
	}
	if log := <-said; !strings.Contains(log, "by the program") {
		t.Errorf("logged %q", log)
	}
}

// TestHandshakeThatFailsLateLeavesNoSecret: crypto/tls has told them before it verified the client. Guard: shake, "t.forget()".
func TestHandshakeThatFailsLateLeavesNoSecret(t *testing.T) {
	for of, refuses := range map[string]func() error{
		"refused":  func() error { return errors.New("refused") },
		"panicked": func() error { panic("by the program") },
	} {
		server, client := configs(t)
		var tr *trace
		var in, out []byte
		server.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			tr, _ = hello.Conn.(*trace)
			return nil, nil
		}
		server.VerifyConnection = func(tls.ConnectionState) error {
			in, out = tr.in, tr.out
			return refuses()
		}
		l := &listener{
			server: &http.Server{ErrorLog: log.New(io.Discard, "", 0)}, ready: make(chan net.Conn, 1), closed: make(chan struct{}), config: secretive(server),
		}
		near, far := pair(t)
		shaken := make(chan error, 1)
		go func() { shaken <- tls.Client(near, client).Handshake() }()
		l.shake(far)
		_ = far.Close()
		<-shaken
		if len(in) == 0 || len(out) == 0 {
			t.Fatalf("%s: no secrets were known", of)
		}
		if tr.in != nil || tr.out != nil || tr.sealing != nil || bytes.ContainsFunc(slices.Concat(in, out), func(r rune) bool { return r != 0 }) {
			t.Errorf("%s: the secrets are still there", of)
		}
	}
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }

// TestListenerPassesOnWhatIsNotItsEnd, and ends with its own.
func TestListenerPassesOnWhatIsNotItsEnd(t *testing.T) {
	below := &scripted{errs: []error{passing{}, io.ErrUnexpectedEOF}}
	l := &listener{
		Listener: below, server: &http.Server{}, ready: make(chan net.Conn), refused: make(chan error), ended: make(chan struct{}), closed: make(chan struct{}),
	}
	go l.accept()
	for _, want := range []error{passing{}, io.ErrUnexpectedEOF, io.ErrUnexpectedEOF} {
		if _, err := l.Accept(); !errors.Is(err, want) {
			t.Errorf("%v; want %v", err, want)
		}
	}
	if err := errors.Join(l.Close(), l.Close()); err != nil {
		t.Error(err)
	}
	one, _ := pair(t)
	if l.hand(one) {
		t.Error("a connection is handed to nobody")
	}
	if _, err := one.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("it is still open: %v", err)
	}
}

// scripted is a listener that has nothing but errors.
type scripted struct {
	net.Listener
	errs []error
}

func (s *scripted) Accept() (net.Conn, error) {
	err := s.errs[0]
	s.errs = s.errs[1:]
	return nil, err
}

func (s *scripted) Close() error { return nil }

// passing is an error as of too many open files.
type passing struct{}

func (passing) Error() string   { return "for a while" }
func (passing) Temporary() bool { return true }

// TestFiguresAreACopy: what a caller does to them is not counted.
func TestFiguresAreACopy(t *testing.T) {
	before := Figures()
	counted.stay(whyVersion)
	counted.let()
	counted.come()
	after := Figures()
	after.Stayed[whyVersion] += 100
	if got := Figures(); got.Stayed[whyVersion] != before.Stayed[whyVersion]+1 || got.Left != before.Left+1 || got.Came != before.Came+1 {
		t.Errorf("%+v; before %+v", got, before)
	}
}

// TestListenersThatShareAnAddressHaveSessionsOfTheirOwn, as those of SO_REUSEPORT do.
func TestListenersThatShareAnAddressHaveSessionsOfTheirOwn(t *testing.T) {
	server, _ := configs(t)
	ctx, cancel := context.WithCancel(t.Context())
	p, err := handover.New(ctx, handover.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		_ = p.Run(ctx) // which closes what there is
	}()
	ln, err := p.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	for range 3 {
		l, err := Listen(p, ln, server)
		if err != nil {
			t.Fatal(err)
		}
		kinds[l.(*listener).kind] = true
	}
	if len(kinds) != 3 {
		t.Errorf("the sessions of three listeners are %v", kinds)
	}
}
