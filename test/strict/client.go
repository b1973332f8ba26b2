package strict

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// afterFailure keeps a client whose every request fails from asking in a busy loop.
const afterFailure = 10 * time.Millisecond

// client makes requests, one turn after the other, with at most one connection at a time.
type client struct {
	driver *Driver
	kind   string
	name   string
	random *rand.Rand
	serial int
	conn   *conn
}

func (c *client) run(turn func(*client)) {
	turn(c)
	for !c.over() {
		turn(c)
	}
	c.part()
}

func (c *client) keepAlive() {
	if c.pause(0, 30*time.Millisecond) && c.ready() {
		c.whole(c.request("GET", 0))
	}
}

func (c *client) single() {
	if c.pause(0, 30*time.Millisecond) && c.ready() {
		c.whole(c.request("GET", 0))
	}
	c.part()
}

func (c *client) idle() {
	if c.ready() {
		c.whole(c.request("GET", 0))
	}
	c.pause(500*time.Millisecond, 3*time.Second)
}

func (c *client) upload() {
	const pieces = 12
	if !c.pause(0, 50*time.Millisecond) || !c.ready() {
		return
	}
	r := c.request("POST", 100+c.random.IntN(30_000))
	c.exchange(func() error { return c.spread(append([][]byte{r.head()}, r.pieces(pieces)...), 25*time.Millisecond) }, r)
}

func (c *client) pipeline() {
	if !c.pause(0, 30*time.Millisecond) || !c.ready() {
		return
	}
	requests := []request{c.request("GET", 0), c.request("POST", 100), c.request("GET", 0)}
	var all []byte
	for _, r := range requests {
		all = append(all, r.head()...)
		all = append(all, slices.Concat(r.pieces(1)...)...)
	}
	c.exchange(func() error { return c.conn.write(all) }, requests...)
}

func (c *client) dribble() {
	if !c.pause(0, 50*time.Millisecond) || !c.ready() {
		return
	}
	r := c.request("GET", 0)
	c.exchange(func() error { return c.spread(slices.Collect(slices.Chunk(r.head(), 1)), 5*time.Millisecond) }, r)
}

func (c *client) expect() {
	if !c.pause(0, 100*time.Millisecond) || !c.ready() {
		return
	}
	r := c.request("POST", 1+c.random.IntN(30_000))
	r.header = "Expect: 100-continue\r\n"
	c.exchange(func() error {
		if err := c.conn.write(r.head()); err != nil {
			return err
		}
		a, err := c.conn.read()
		if err != nil {
			return fmt.Errorf("await 100: %w", err)
		}
		if a.status != 100 {
			return fmt.Errorf("await 100: status %d", a.status)
		}
		c.pause(0, 50*time.Millisecond)
		return c.conn.write(slices.Concat(r.pieces(1)...))
	}, r)
}

func (c *client) silent() {
	if c.ready() && c.pause(time.Second, 3*time.Second) && c.ready() {
		c.whole(c.request("GET", 0))
	}
	c.part()
}

// request returns the next one. Every other is chunked both ways.
func (c *client) request(method string, body int) request {
	c.serial++
	r := request{id: fmt.Sprintf("%s.%d", c.name, c.serial), method: method, chunked: c.serial%2 == 0}
	if body > 0 {
		r.body = make([]byte, body)
		for i := range r.body {
			r.body[i] = byte(c.random.Uint32())
		}
	}
	return r
}

// ready returns with a connection on which a request can be written, or reports false.
func (c *client) ready() bool {
	if c.conn != nil && c.look() {
		return true
	}
	conn, err := dial(c.driver.address)
	if err != nil {
		c.fail(fmt.Errorf("connect: %w", err))
		return false
	}
	c.driver.ledger.connected()
	c.conn = conn
	return true
}

// look reports whether the idle connection is as it was left, and drops it otherwise.
func (c *client) look() bool {
	err := c.conn.peek()
	switch {
	case err == nil:
		return true
	case errors.Is(err, errClosed):
		c.driver.ledger.closed(fmt.Sprintf("%s: %v: %v", c.name, err, c.conn))
	default:
		c.driver.ledger.failed(fmt.Sprintf("%s: %v: %v", c.name, err, c.conn))
	}
	c.drop()
	return false
}

func (c *client) whole(r request) {
	c.exchange(func() error { return c.conn.write(r.head()) }, r)
}

// spread writes parts with pauses between them.
func (c *client) spread(parts [][]byte, pause time.Duration) error {
	for i, part := range parts {
		if i > 0 {
			c.pause(pause/2, pause*3/2)
		}
		if err := c.conn.write(part); err != nil {
			return fmt.Errorf("write part %d of %d: %w", i+1, len(parts), err)
		}
	}
	return nil
}

// exchange sends requests and takes their answers. Each of them that is not answered as it must be has failed.
func (c *client) exchange(send func() error, requests ...request) {
	err := send()
	sent := time.Now()
	closes := false
	for i, r := range requests {
		var a answer
		var pid int
		if err == nil {
			a, err = c.conn.read()
		}
		if err == nil {
			pid, err = r.verify(a)
		}
		if err != nil {
			for _, unanswered := range requests[i:] {
				c.fail(fmt.Errorf("request %s: %w", unanswered.id, err))
			}
			return
		}
		c.conn.pid = pid
		c.conn.answered++
		c.driver.ledger.answered(c.kind, pid, time.Since(sent))
		closes = closes || a.closes()
	}
	if closes {
		c.driver.ledger.closed(fmt.Sprintf("%s: the answer says Connection: close: %v", c.name, c.conn))
		c.drop()
	}
}

func (c *client) fail(err error) {
	why := fmt.Sprintf("%s: %v", c.name, err)
	if c.conn != nil {
		why += fmt.Sprintf(": %v", c.conn)
	}
	c.driver.ledger.failed(why)
	c.drop()
	c.pause(afterFailure, 2*afterFailure)
}

// part ends the connection from this side, after a last look at it.
func (c *client) part() {
	if c.conn != nil && c.look() {
		c.drop()
	}
}

func (c *client) drop() {
	if c.conn != nil {
		_ = c.conn.tcp.Close()
		c.conn = nil
	}
}

// pause waits between least and most, and reports whether the load goes on.
func (c *client) pause(least, most time.Duration) bool {
	timer := time.NewTimer(least + time.Duration(c.random.Int64N(int64(most-least))))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.driver.over:
		return false
	}
}

func (c *client) over() bool {
	select {
	case <-c.driver.over:
		return true
	default:
		return false
	}
}
