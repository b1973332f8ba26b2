package handover

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/handover-go/handover/internal/idle"
)

// room records how much room net/http's reads offer, and in which state.
type room struct {
	net.Conn
	reads chan read

	mu    sync.Mutex
	state http.ConnState
	turns int // of the read deadline, since state changed
}

type read struct {
	state http.ConnState
	room  int
	turns int
}

func (r *room) Read(p []byte) (int, error) {
	r.mu.Lock()
	seen := read{r.state, len(p), r.turns}
	r.mu.Unlock()
	r.reads <- seen
	return r.Conn.Read(p)
}

func (r *room) SetReadDeadline(t time.Time) error {
	r.mu.Lock()
	r.turns++
	r.mu.Unlock()
	return r.Conn.SetReadDeadline(t)
}

// serveRoom has net/http serve one end of a connection, and returns the other and what the reads offer.
func serveRoom(t *testing.T, srv *http.Server) (client net.Conn, reads <-chan read) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan read, 100)
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "answer") })
	srv.ConnState = func(c net.Conn, s http.ConnState) {
		r := c.(*room)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.state, r.turns = s, 0
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(roomListener{ln, seen})
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-served
	})
	client, err = net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	_ = client.SetDeadline(time.Now().Add(10 * time.Second))
	return client, seen
}

type roomListener struct {
	net.Listener
	reads chan read
}

func (l roomListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &room{Conn: c, reads: l.reads}, nil
}

// idleRead waits for the next read of an idle connection.
func idleRead(t *testing.T, reads <-chan read) read {
	t.Helper()
	for {
		select {
		case r := <-reads:
			if r.state == http.StateIdle {
				return r
			}
		case <-time.After(10 * time.Second):
			t.Fatal("no read of an idle connection")
		}
	}
}

func answers(t *testing.T, client net.Conn, n int) {
	t.Helper()
	b := bufio.NewReader(client)
	for range n {
		resp, err := http.ReadResponse(b, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "answer" {
			t.Fatalf("answer %q, %v", body, err)
		}
	}
}

// TestIdlePointOfNetHTTP holds idleLocked to the inside of the net/http that compiles it.
func TestIdlePointOfNetHTTP(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"

	t.Run("an idle connection offers the whole buffer", func(t *testing.T) {
		client, reads := serveRoom(t, &http.Server{})
		if r := <-reads; r.room != idle.BufferSize {
			t.Errorf("a new connection offers %d bytes, not %d", r.room, idle.BufferSize)
		}
		for range 3 {
			_, _ = io.WriteString(client, get)
			answers(t, client, 1)
			if r := idleRead(t, reads); r.room != idle.BufferSize || r.turns != 1 {
				t.Errorf("an idle connection offers %d bytes, not %d, after %d deadlines, not 1", r.room, idle.BufferSize, r.turns)
			}
		}
	})
	t.Run("one that holds the beginning of a request offers less", func(t *testing.T) {
		client, reads := serveRoom(t, &http.Server{})
		_, _ = io.WriteString(client, get+"GET")
		answers(t, client, 1)
		if r := idleRead(t, reads); r.room >= idle.BufferSize {
			t.Errorf("an idle connection with three bytes in its buffer offers %d bytes: they would be lost", r.room)
		}
	})
	t.Run("one that has parsed the beginning of a request has set its deadline", func(t *testing.T) {
		client, reads := serveRoom(t, &http.Server{})
		_, _ = io.WriteString(client, get+"GET / HTTP/1.1\r\nHost: h\r\n")
		answers(t, client, 1)
		if r := idleRead(t, reads); r.turns <= 1 {
			t.Errorf("an idle connection that has parsed half a request looks idle: %d bytes, %d deadlines", r.room, r.turns)
		}
	})
	t.Run("one that sniffs for HTTP/2 has read nothing", func(t *testing.T) {
		srv := &http.Server{Protocols: new(http.Protocols)}
		srv.Protocols.SetHTTP1(true)
		srv.Protocols.SetUnencryptedHTTP2(true)
		client, reads := serveRoom(t, srv)
		if r := <-reads; r.state != http.StateNew {
			t.Errorf("first read in state %s", r.state)
		}
		_, _ = io.WriteString(client, get)
		answers(t, client, 1)
		if r := idleRead(t, reads); r.room != idle.BufferSize || r.turns != 1 {
			t.Errorf("an idle connection offers %d bytes, not %d, after %d deadlines, not 1", r.room, idle.BufferSize, r.turns)
		}
	})
}
