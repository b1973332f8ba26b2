//go:build linux

package traffic

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/test/internal/client"
)

// TestPipelinedOverTLSIsAnsweredToTheLast has a client send two to five requests at once, again and again, on a connection that
// cannot follow, while the service is upgraded: it is asked to leave with the last answer of a batch, or later, never before.
// Batches are on their way at FINAL, and begin after it; each is one TLS record, or one for each request.
func TestPipelinedOverTLSIsAnsweredToTheLast(t *testing.T) {
	t.Parallel()
	for _, records := range []string{"one record", "a record each"} {
		t.Run(records, func(t *testing.T) {
			t.Parallel()
			s, address, roots := startTLS(t)
			first := s.PID()
			var crowd []*pipeliner
			for i := range 12 {
				raw := &client.Scissors{Conn: client.Dial(t, address, patience).Conn}
				crowd = append(crowd, &pipeliner{handshake(t, raw, roots, "http/1.1"), raw, i, 2 + i%4, records == "one record"})
			}
			final := s.WatchFor(`msg="handover final"`)
			ended := make(chan error, len(crowd))
			for _, c := range crowd {
				go func() { ended <- c.goOn() }()
			}
			s.Signal(first, sigUpgrade)
			s.Line(final, "the handover is not final")
			for range crowd {
				if err := <-ended; err != nil {
					t.Error(err)
				}
			}
			s.AwaitExit(first)
		})
	}
}

// pipeliner sends batches of requests, and reads the answers of one before it sends the next. A batch whose records come one by one, each
// after the answer to the one before, is none: all of it is sent at once.
type pipeliner struct {
	conn
	raw       *client.Scissors
	id, size  int
	oneRecord bool
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
		var sealing error
		all := c.raw.Held(func() {
			for _, r := range requests {
				_, err := io.WriteString(c.Conn, r)
				sealing = errors.Join(sealing, err)
			}
		})
		if _, err := c.raw.Conn.Write(all); err != nil || sealing != nil {
			return fmt.Errorf("client %d, batch %d: %w", c.id, batch, errors.Join(sealing, err))
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
	c.Hearing()
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
	c.Send(request+request, 1, 0, 2, 0)
	c.Response()
	c.Response()
	s.Next()
	c.Send(request, 3, 3000)
	c.isRead()
	c.Send(request, 4, 0)
	for id := 3; id <= 4; id++ {
		resp, body := c.Response()
		if want := fmt.Sprintf("%d %d ", id, first); !strings.HasPrefix(body, want) || resp.Close != (id == 4) {
			t.Fatalf("answered %q, Connection: close %t; want %q, and to be asked to leave with the last", body, resp.Close, want)
		}
	}
	s.AwaitExit(first)
}

// isRead waits until the service has read all that was said, and a moment in which it says nothing.
func (c conn) isRead() {
	c.T.Helper()
	until(c.T, "what was said is not read", func() bool {
		own, its := c.Sockets()
		return own.Sending == 0 && its.Receiving == 0
	})
	c.StaysOpen(100 * time.Millisecond)
}

// TestClientThatKeepsRequestsUnderWayIsNotAskedInAGap has a client send the next request with each answer, while others are under way,
// and once be late: the request that is alone by that is not its last, and the one that comes behind it is answered. It is asked to leave
// once it waits for its answers.
func TestClientThatKeepsRequestsUnderWayIsNotAskedInAGap(t *testing.T) {
	t.Parallel()
	s, address, roots := startTLS(t)
	first, c := s.PID(), dialTLS(t, address, roots, "http/1.1")
	const request = "GET /slow?id=%d&ms=%d HTTP/1.1\r\nHost: service\r\n\r\n"
	answered := func(id int, last bool) {
		t.Helper()
		resp, body := c.Response()
		if want := fmt.Sprintf("%d %d ", id, first); !strings.HasPrefix(body, want) || resp.Close != last {
			t.Fatalf("answered %q, Connection: close %t; want %q and %t", body, resp.Close, want, last)
		}
	}
	c.Send(request, 1, 0)
	answered(1, false)
	s.Next()
	c.Send(request+request+request, 2, 0, 3, 3000, 4, 0)
	answered(2, false)
	c.Send(request, 5, 3000)
	answered(3, false)
	answered(4, false)
	c.isRead() // the fifth, alone
	c.Send(request, 6, 0)
	answered(5, false)
	answered(6, false)
	for id := 7; ; id++ {
		c.StaysOpen(100 * time.Millisecond) // else a busy service may find the request as it begins to look for it, and the client does not wait
		c.Send(request, id, 0)
		resp, body := c.Response()
		if want := fmt.Sprintf("%d %d ", id, first); !strings.HasPrefix(body, want) || id == 9 && !resp.Close {
			t.Fatalf("answered %q, Connection: close %t; want %q, and to be asked to leave by the third that waits", body, resp.Close, want)
		}
		if resp.Close {
			break
		}
	}
	s.AwaitExit(first)
}
