package livetls

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/handover-go/handover"
)

// usable reports why no connection may move in this process, nil if they may: once, as the Go that compiled it does not change.
var usable = sync.OnceValue(selfTest)

// testTimeout bounds the self-test, which takes some milliseconds.
const testTimeout = 5 * time.Second

// selfTest moves a connection within this process, twice, as it would between two: what this package knows of crypto/tls and of net/http is from looking at
// them, and may be otherwise in another Go.
func selfTest() error {
	config, err := testConfig()
	if err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	_ = near.SetDeadline(time.Now().Add(testTimeout))
	served, moved := make(chan error, 1), make(chan struct{}, testRequests)
	go func() {
		defer close(moved)
		served <- testServer(far, config, moved)
	}()
	if err = testClient(near, moved); err != nil {
		_ = near.Close()
	}
	if serverErr := <-served; serverErr != nil {
		err = serverErr // and what the client saw is its consequence
	}
	if err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	return nil
}

// testConfig is a server's, with a certificate that nobody verifies.
func testConfig() (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"self-test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		MinVersion:   tls.VersionTLS13, NextProtos: []string{"http/1.1"},
	}, nil
}

// testRequests are asked on one connection, which moves between them.
const testRequests = 3

// testClient sends a request each time that the connection has moved, not before: one that is there already keeps it where it is.
func testClient(raw net.Conn, moved <-chan struct{}) error {
	c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"}}) //nolint:gosec // G402: it speaks to itself, over a pipe
	in := bufio.NewReader(c)
	for n := range testRequests {
		want := strings.Repeat(fmt.Sprint("answer ", n), 1000)
		if _, err := fmt.Fprintf(c, "GET /%d HTTP/1.1\r\nHost: self-test\r\n\r\n", n); err != nil {
			return fmt.Errorf("request %d: %w", n, err)
		}
		answer, err := http.ReadResponse(in, nil)
		if err != nil {
			return fmt.Errorf("answer %d: %w", n, err)
		}
		body, err := io.ReadAll(answer.Body)
		if err != nil || string(body) != want {
			return fmt.Errorf("answer %d of %d bytes is not the one of %d: %w", n, len(body), len(want), err)
		}
		if _, ok := <-moved; !ok {
			return errors.New("the server has ended")
		}
	}
	return nil
}

// testServer serves the client with net/http, and has it leave after each answer.
func testServer(raw net.Conn, config *tls.Config, moved chan<- struct{}) error {
	t := &trace{Conn: raw}
	c := tls.Server(t, secretive(config))
	if err := c.Handshake(); err != nil {
		return err
	}
	t.finish()
	up, why := t.establish(c.ConnectionState(), config.NextProtos)
	if up == nil {
		return fmt.Errorf("the handshake cannot be taken over: %s", why)
	}
	pipe := &pipe{Conn: raw, unread: t.remainder()}
	for range testRequests {
		c := newConn(pipe, up)
		if err := testServe(c, pipe); err != nil {
			return err
		}
		if c.left == nil {
			return errors.New("net/http's idle point is not where it was")
		}
		state := c.left.encode()
		pipe.unread = c.left.record.Raw
		next, err := decode(state)
		if err != nil {
			return err
		}
		next.record.Owes = true // as if the client had asked for a KeyUpdate
		up = next
		moved <- struct{}{}
	}
	up.clear()
	return nil
}

// testServe serves one conn until net/http has closed it.
func testServe(c *conn, p *pipe) error {
	one := &single{conn: c, done: c.done}
	server := &http.Server{
		ConnState: func(nc net.Conn, s http.ConnState) { nc.(*conn).ObserveState(s) },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			p.ask() // to leave behind this answer
			_, _ = io.WriteString(w, strings.Repeat("answer "+strings.TrimPrefix(r.URL.Path, "/"), 1000))
		}),
		IdleTimeout: testTimeout, ReadHeaderTimeout: testTimeout,
	}
	err := server.Serve(one)
	if !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// single is a listener of one connection.
type single struct {
	conn *conn
	once sync.Once
	done <-chan struct{}
}

func (s *single) Accept() (c net.Conn, err error) {
	err = net.ErrClosed
	s.once.Do(func() { c, err = s.conn, nil })
	if err != nil {
		<-s.done
	}
	return c, err
}

func (s *single) Close() error   { return nil }
func (s *single) Addr() net.Addr { return s.conn.LocalAddr() }

// pipe is a carrier without a library: it is asked to let go by the self-test.
type pipe struct {
	net.Conn

	mu     sync.Mutex
	asked  bool
	unread []byte
}

// ask has the next Wait, or the one under way, return ErrLetGo.
func (p *pipe) ask() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = true
}

// Wait implements carrier.
func (p *pipe) Wait(int) error {
	p.mu.Lock()
	asked, ready := p.asked, len(p.unread) > 0
	p.asked = false
	p.mu.Unlock()
	if asked {
		return handover.ErrLetGo
	}
	if ready {
		return nil
	}
	first := make([]byte, 1)
	n, err := p.Conn.Read(first)
	p.mu.Lock()
	p.unread = first[:n]
	p.mu.Unlock()
	if n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

// Read implements net.Conn.
func (p *pipe) Read(b []byte) (int, error) {
	p.mu.Lock()
	n := copy(b, p.unread)
	p.unread = p.unread[n:]
	p.mu.Unlock()
	if n > 0 {
		return n, nil
	}
	return p.Conn.Read(b)
}
