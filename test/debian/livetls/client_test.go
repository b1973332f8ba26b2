//go:build debian

package livetls

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/handover-go/handover/test/traffic"
)

// client is one that asks one question after the other, and has one connection for all of them.
type client struct {
	name string
	run  func(ctx context.Context, c *client) error // until there is no next
	want traffic.Channel                            // of each answer, but for who gave which; a Suite of "" is any

	asking  context.Context // ends when there is nothing more to ask
	settled chan int        // generations that have given enough answers
	ended   chan struct{}
	err     error // why run has ended; valid once ended is closed

	answered int
	first    traffic.Channel
	since    int // number of the first question that the generation which answers now has answered
	now      int // that generation
}

// enough is how many answers a client gets of each generation, at the least.
const enough = 6

func (c *client) begin(asking context.Context) {
	c.asking, c.settled, c.ended, c.now = asking, make(chan int, upgrades()+1), make(chan struct{}), 1
}

func (c *client) end(err error) {
	c.err = err
	close(c.ended)
}

// await returns once a generation has answered the client.
func (c *client) await(ctx context.Context, generation int) error {
	select {
	case n := <-c.settled:
		if n != generation {
			return fmt.Errorf("%s: generation %d answers, not %d", c.name, n, generation)
		}
		return nil
	case <-c.ended:
		return fmt.Errorf("%s: ended before its time, after %d answers: %w", c.name, c.answered, c.err)
	case <-ctx.Done():
		return fmt.Errorf("%s: not answered by generation %d: %w", c.name, generation, ctx.Err())
	}
}

// question is a request, and how many lines its answer has.
type question struct {
	method, path, body string
	lines              int
}

// upload is the body of some questions: it fills more than two records.
var upload = strings.Repeat("0123456789", 4_000)

// ask is the question of that number: by turns one that is short, one whose answer fills several records, and one that does itself.
func ask(n int) question {
	q := question{method: http.MethodGet}
	switch n % 3 {
	case 1:
		q.lines = 700
	case 2:
		q.method, q.body = http.MethodPost, upload
	}
	q.path = fmt.Sprintf("/channel?ms=20&n=%d&id=%d", q.lines, n)
	return q
}

// next is the client's next question, once the last is answered. It reports false when there is none.
func (c *client) next() (question, bool) { return ask(c.answered), c.asking.Err() == nil }

// own is what a client says of its connections.
type own struct {
	opened int
	port   int // of its end; 0: it does not say
}

// hear reads the answer to the next question. It is an error if it is not exactly that, on the connection of those before.
func (c *client) hear(body *bufio.Reader) error {
	q := ask(c.answered)
	got, err := traffic.ReadChannel(body, q.lines)
	if err != nil {
		return err
	}
	if c.answered == 0 {
		c.first = got
	}
	want := c.want
	want.ID, want.PID, want.Generation = strconv.Itoa(c.answered), got.PID, got.Generation
	want.Version, want.Remote, want.Received = "TLS 1.3", c.first.Remote, fmt.Sprintf("%x", sha256.Sum256([]byte(q.body)))
	if want.Suite == "" {
		want.Suite = c.first.Suite
	}
	switch {
	case got != want:
		return fmt.Errorf("answered %+v, not %+v", got, want)
	case got.Generation == c.now+1:
		c.now, c.since = got.Generation, c.answered
	case got.Generation != c.now:
		return fmt.Errorf("question %d was answered by generation %d, the one before by %d", c.answered, got.Generation, c.now)
	}
	c.answered++
	if c.answered-c.since == enough {
		c.settled <- c.now
	}
	return nil
}

// hearBody reads the answer to the next question, which is all of a body.
func (c *client) hearBody(status int, body io.Reader) error {
	if status != http.StatusOK {
		return fmt.Errorf("question %d: status %d", c.answered, status)
	}
	in := bufio.NewReader(body)
	if err := c.hear(in); err != nil {
		return err
	}
	if b, err := in.ReadByte(); err != io.EOF {
		return fmt.Errorf("behind answer %d comes %q, %w", c.answered-1, b, err)
	}
	return nil
}

// agree compares what the client says of its connections with what the service has said.
func (c *client) agree(o own) error {
	_, port, err := net.SplitHostPort(c.first.Remote)
	if err != nil {
		return err
	}
	if o.opened != 1 || o.port != 0 && strconv.Itoa(o.port) != port {
		return fmt.Errorf("the client has opened %d connections, its last from port %d: the first was from %s", o.opened, o.port, port)
	}
	return nil
}
