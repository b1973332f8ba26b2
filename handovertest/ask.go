package handovertest

import (
	"errors"
	"net/http"
	"time"
)

// question is what a client asks in one go: one request, or several whose
// answers come in order.
type question struct {
	ids     []string
	send    func(*conn) error
	read    readFunc
	begun   time.Time // from when latency counts; zero: it does not
	closing bool      // the request itself asked for the connection to be closed
}

// readFunc reads and verifies one answer. Without a response the connection
// can no longer be read; with one, the whole answer has been.
type readFunc func(c *conn, id string) (Answer, *http.Response, error)

// ask sends a question and takes its answers. It reports whether all were good.
func (c *client) ask(q question) bool {
	c.tally.asked(len(q.ids))
	if err := c.send(q); err != nil {
		c.abandon(q.ids, err)
		return false
	}
	good, adrift := true, false
	for i, id := range q.ids {
		answer, resp, err := q.read(c.conn, id)
		switch {
		case resp == nil:
			c.lose(err, id)
			c.abandon(q.ids[i+1:], faultf(Failed, "pipelined and not answered: %v", err))
			return false
		case err != nil: // a whole answer: the next can be read
			c.lose(err, id)
			good = false
		case answer.ID != id:
			c.lose(c.misdirected(answer.ID, id), id)
			good, adrift = false, true
		default:
			c.good(answer, q.begun)
		}
		c.conn.lastID = answer.ID
		if resp.Close && !q.closing {
			c.closedPolitely(resp, id)
			c.abandon(q.ids[i+1:], faultf(Failed, `pipelined and not answered: "Connection: close" before it`))
			return good && i+1 == len(q.ids)
		}
	}
	if c.conn.reader.Buffered() > 0 {
		c.drop(c.conn.unasked(), q.ids[len(q.ids)-1])
		return false
	}
	if adrift { // what comes next would be taken for an answer to something else
		c.closeConn()
	}
	return good
}

// abandon records the loss of requests that cannot be answered any more.
func (c *client) abandon(ids []string, err error) {
	for _, id := range ids {
		c.lose(err, id)
	}
	c.closeConn()
}

// send opens a connection if there is none, or if the one there is has been
// closed while idle. That no byte could be sent is known by the first write
// only, if the close came after the look: then too, another is opened, once.
func (c *client) send(q question) error {
	if c.conn != nil {
		if err := c.conn.quiet(); err != nil {
			c.drop(err, "")
		}
	}
	err := c.sendOn(q)
	var f *fault
	if !errors.As(err, &f) || f.outcome != Closed {
		return err
	}
	c.drop(err, "")
	if err = c.sendOn(q); errors.As(err, &f) && f.outcome == Closed {
		return faultf(Failed, "a new %s", f.reason)
	}
	return err
}

func (c *client) sendOn(q question) error {
	if err := c.open(); err != nil {
		return err
	}
	c.conn.begin()
	return q.send(c.conn)
}

func (c *client) misdirected(got, want string) error {
	if got != "" && got == c.conn.lastID {
		return faultf(Repeated, "the answer to %s came again instead", got)
	}
	return faultf(Wrong, "the answer is to %q, not to %q", got, want)
}
