package handovertest

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// kind is a way to behave. A turn is one question, or for Idle two; it begins
// with the pause before it.
type kind struct {
	name    string
	ownPath bool // needs a path of Handler
	count   func(Clients) int
	turn    func(context.Context, *client)
}

// kinds is filled by init because turns refer to what refers to it.
var kinds []kind

func init() {
	kinds = []kind{
		{"KeepAlive", false, func(c Clients) int { return c.KeepAlive }, keepAlive},
		{"New", false, func(c Clients) int { return c.New }, newEach},
		{"Slow", true, func(c Clients) int { return c.Slow }, slow},
		{"Upload", true, func(c Clients) int { return c.Upload }, upload},
		{"Continue", true, func(c Clients) int { return c.Continue }, expectContinue},
		{"Pipelined", false, func(c Clients) int { return c.Pipelined }, pipelined},
		{"Dribble", false, func(c Clients) int { return c.Dribble }, dribble},
		{"Silent", false, func(c Clients) int { return c.Silent }, silent},
		{"Idle", false, func(c Clients) int { return c.Idle }, idle},
		{"Stream", true, func(c Clients) int { return c.Stream }, stream},
	}
}

func keepAlive(ctx context.Context, c *client) {
	if begun, ok := c.next(ctx); ok {
		c.askPlainly(begun)
	}
}

// newEach says by turns that it will close, and then waits for the service to
// do it, or just closes.
func newEach(ctx context.Context, c *client) {
	begun, ok := c.next(ctx)
	if !ok {
		return
	}
	id := c.newID()
	closing := c.turns%2 == 1 && c.load.Request == nil
	header := ""
	if closing {
		header = "Connection: close\r\n"
	}
	request, err := c.plainRequest(id, header)
	good := c.ask(question{
		ids: []string{id}, begun: begun, closing: closing,
		send: sending(request, err), read: c.readPlain,
	})
	if good && closing {
		c.awaitEnd(ctx)
	}
	c.hangUp()
}

func slow(ctx context.Context, c *client) {
	if _, ok := c.next(ctx); !ok {
		return
	}
	id, span := c.newID(), c.between(c.load.Span)
	request := c.get("/slow?ms="+strconv.FormatInt(span.Milliseconds(), 10), id, "")
	c.ask(question{ids: []string{id}, send: sending(request, nil), read: func(conn *conn, id string) (Answer, *http.Response, error) {
		return c.readAnswer(conn, id, span, verifyLine)
	}})
}

// pipelineDepth is how many requests go in one write.
const pipelineDepth = 4

func pipelined(ctx context.Context, c *client) {
	if _, ok := c.next(ctx); !ok {
		return
	}
	var ids []string
	var all []byte
	var err error
	for range pipelineDepth {
		id := c.newID()
		request, bad := c.plainRequest(id, "")
		if bad != nil {
			err = bad
		}
		ids, all = append(ids, id), append(all, request...)
	}
	c.ask(question{ids: ids, send: sending(all, err), read: c.readPlain})
}

// dribble sends a head byte by byte, or in a few pieces, by turns: a switch
// falls into the middle of it.
func dribble(ctx context.Context, c *client) {
	if _, ok := c.next(ctx); !ok {
		return
	}
	id := c.newID()
	request, err := c.plainRequest(id, "")
	pieces := 2 + c.random.IntN(4)
	if c.turns%2 == 0 {
		pieces = len(request)
	}
	c.ask(question{ids: []string{id}, read: c.readPlain, send: func(conn *conn) error {
		if err != nil {
			return err
		}
		return c.trickle(ctx, conn, request, pieces)
	}})
}

func silent(ctx context.Context, c *client) {
	if err := c.open(); err != nil {
		c.tally.asked(1)
		c.drop(err, "")
		return
	}
	c.settle(true)
	c.rest(ctx, c.between(c.load.Quiet))
	if c.conn != nil {
		c.askPlainly(time.Now())
		c.hangUp()
	}
}

func idle(ctx context.Context, c *client) {
	if c.conn == nil && !c.askPlainly(time.Now()) {
		return
	}
	c.rest(ctx, c.between(c.load.Quiet))
	if c.conn != nil {
		c.askPlainly(time.Now())
	}
}

func (c *client) askPlainly(begun time.Time) bool {
	id := c.newID()
	request, err := c.plainRequest(id, "")
	return c.ask(question{ids: []string{id}, begun: begun, send: sending(request, err), read: c.readPlain})
}

// awaitEnd waits a little for the close that was asked for. Nothing is lost if
// it does not come, but an answer must not come twice.
func (c *client) awaitEnd(ctx context.Context) {
	var f *fault
	if err := c.conn.watch(ctx, time.Now().Add(time.Second)); errors.As(err, &f) && f.outcome == Repeated {
		c.drop(err, "")
	}
	c.closeConn()
}

// trickle sends b in pieces over a span.
func (c *client) trickle(ctx context.Context, conn *conn, b []byte, pieces int) error {
	pieces = max(1, min(pieces, len(b)))
	pause := c.between(c.load.Span) / time.Duration(pieces)
	for i := range pieces {
		if err := conn.write(b[i*len(b)/pieces : (i+1)*len(b)/pieces]); err != nil {
			return err
		}
		if i+1 < pieces {
			pauseUntil(ctx, time.Now().Add(pause))
		}
	}
	return nil
}

func sending(request []byte, err error) func(*conn) error {
	return func(c *conn) error {
		if err != nil {
			return err
		}
		return c.write(request)
	}
}
