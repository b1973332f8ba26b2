//go:build linux

package traffic

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestPipelinedOverTLSIsAnsweredToTheLast has a client send two to five requests at once, again and again, on a connection that
// cannot follow, while the service is upgraded: it is asked to leave with the last answer of a batch, or later, never before.
// Batches are on their way at FINAL, and begin after it; each is one TLS record, or one for each request.
func TestPipelinedOverTLSIsAnsweredToTheLast(t *testing.T) {
	for _, records := range []string{"one record", "a record each"} {
		t.Run(records, func(t *testing.T) {
			t.Parallel()
			s, address, roots := startTLS(t)
			first := s.PID()
			var crowd []*pipeliner
			for i := range 12 {
				raw, err := net.Dial("tcp", address)
				if err != nil {
					t.Fatal(err)
				}
				together := &corked{Conn: raw}
				crowd = append(crowd, &pipeliner{handshake(t, together, address, roots, "http/1.1"), together, i, 2 + i%4, records == "one record"})
			}
			final := s.watch(`msg="handover final"`)
			ended := make(chan error, len(crowd))
			for _, c := range crowd {
				go func() { ended <- c.goOn() }()
			}
			s.Signal(first, sigUpgrade)
			s.line(final, "the handover is not final")
			for range crowd {
				if err := <-ended; err != nil {
					t.Error(err)
				}
			}
			s.AwaitExit(first)
		})
	}
}

// pipeliner sends batches of requests, and reads the answers of one before it sends the next.
type pipeliner struct {
	*client
	raw       *corked
	id, size  int
	oneRecord bool
}

// corked sends what is written to it at once when it is flushed: a batch whose records come one by one, each after the answer to the one
// before, is none.
type corked struct {
	net.Conn
	held []byte
	on   bool
}

func (c *corked) Write(p []byte) (int, error) {
	if c.on {
		c.held = append(c.held, p...)
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func (c *corked) flush() error {
	_, err := c.Conn.Write(c.held)
	c.held, c.on = c.held[:0], false
	return err
}

// goOn sends batches until it is asked to leave. It fails where that leaves a request unanswered.
func (c *pipeliner) goOn() error {
	for batch := 0; ; batch++ {
		var requests []string
		for i := range c.size {
			requests = append(requests, fmt.Sprintf("GET /slow?id=%d.%d.%d&ms=20 HTTP/1.1\r\nHost: service\r\nUser-Agent: pipeliner\r\n\r\n", c.id, batch, i))
		}
		if c.oneRecord {
			requests = []string{strings.Join(requests, "")}
		}
		c.raw.on = true
		for _, r := range requests {
			if _, err := c.Conn.Write([]byte(r)); err != nil {
				return fmt.Errorf("client %d, batch %d: %w", c.id, batch, err)
			}
		}
		if err := c.raw.flush(); err != nil {
			return fmt.Errorf("client %d, batch %d: %w", c.id, batch, err)
		}
		for i := range c.size {
			body, last, err := c.next()
			if want := fmt.Sprintf("%d.%d.%d ", c.id, batch, i); err != nil || !strings.HasPrefix(body, want) {
				return fmt.Errorf("client %d: request %d of %d in batch %d is answered %q, %v", c.id, i+1, c.size, batch, body, err)
			}
			if last && i+1 < c.size {
				return fmt.Errorf("client %d: request %d of %d in batch %d is the last to be answered", c.id, i+1, c.size, batch)
			}
			if last {
				return nil
			}
		}
	}
}

// next reads one answer, and whether it is the last.
func (c *pipeliner) next() (body string, last bool, err error) {
	resp, err := http.ReadResponse(c.Reader, nil)
	if err != nil {
		return "", false, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), resp.Close, err
}

// TestClientThatPipelinesIsAskedBehindItsBatch has the rest of a batch come while the first request is being answered: as the batch
// before came at once, that one is not taken to be alone.
func TestClientThatPipelinesIsAskedBehindItsBatch(t *testing.T) {
	t.Parallel()
	s, address, roots := startTLS(t)
	first, c := s.PID(), dialTLS(t, address, roots, "http/1.1")
	const request = "GET /slow?id=%d&ms=%d HTTP/1.1\r\nHost: service\r\n\r\n"
	c.send(request+request, 1, 0, 2, 0)
	c.answer()
	c.answer()
	s.upgrade()
	c.send(request, 3, 500)
	c.staysOpen(100 * time.Millisecond) // it has been read
	c.send(request, 4, 0)
	for id := 3; id <= 4; id++ {
		resp, body := c.answer()
		if want := fmt.Sprintf("%d %d ", id, first); !strings.HasPrefix(body, want) || resp.Close != (id == 4) {
			t.Fatalf("answered %q, Connection: close %t; want %q, and to be asked to leave with the last", body, resp.Close, want)
		}
	}
	s.AwaitExit(first)
}
