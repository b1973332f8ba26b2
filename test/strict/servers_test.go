package strict_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/handover-go/handover/test/strict"
)

// census waits until so many different things were noted.
type census struct {
	mu       sync.Mutex
	missing  int
	seen     map[string]bool
	complete chan struct{}
}

func newCensus(want int) *census {
	return &census{missing: want, seen: map[string]bool{}, complete: make(chan struct{})}
}

func (c *census) note(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen[what] {
		return
	}
	c.seen[what] = true
	if c.missing--; c.missing == 0 {
		close(c.complete)
	}
}

func (c *census) await(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	select {
	case <-c.complete:
	case <-ctx.Done():
		c.mu.Lock()
		defer c.mu.Unlock()
		t.Errorf("seen %v, %d are missing", c.seen, c.missing)
	}
}

// serve runs net/http's own server until stop, which shuts it down as its documentation says. It notes from which kinds of
// clients it had requests.
func serve(t *testing.T, address string, kinds *census) (stop func()) {
	t.Helper()
	ln, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		strict.Echo(w, r)
		id := r.URL.Query().Get("id")
		kinds.note(id[:strings.LastIndex(id, "-")])
	})}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ln) }()
	return func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}
}

// pretend answers every request with what answer makes of its id, until stop. It notes each id. Where it closes, the answer and the end come
// together, before the client can ask again.
func pretend(t *testing.T, answer func(id string) string, closes bool, ids *census) (address string, stop func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wait.Go(func() {
				defer func() { _ = c.Close() }()
				if closes {
					cork(t, c.(*net.TCPConn))
				}
				requests := bufio.NewReader(c)
				for {
					r, err := http.ReadRequest(requests)
					if err != nil {
						return // the client has gone
					}
					id := r.URL.Query().Get("id")
					_, err = io.WriteString(c, answer(id))
					ids.note(id)
					if err != nil || closes {
						return
					}
				}
			})
		}
	})
	return ln.Addr().String(), func() {
		_ = ln.Close()
		wait.Wait()
	}
}

// cork has what is written wait for the end of the connection (tcp(7): 200 ms at most).
func cork(t *testing.T, c *net.TCPConn) {
	var corked error
	raw, err := c.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { corked = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_CORK, 1) })
	}
	if err := errors.Join(err, corked); err != nil {
		t.Error(err)
	}
}
