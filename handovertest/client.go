package handovertest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"time"
)

// afterLoss is the least pause after a loss, so that a service which is gone
// is not hammered.
const afterLoss = 10 * time.Millisecond

// client is one goroutine with at most one connection.
type client struct {
	driver  *Driver
	load    *Load
	kind    kind
	number  int
	random  *rand.Rand
	settled chan<- bool // told once: true at the first good answer, false at the first loss

	conn   *conn
	tally  tally
	turns  int
	asked  int
	dialed int
	due    time.Time // the intended begin of the last turn, with a pace
	lost   bool      // in this turn
}

func newClient(d *Driver, k kind, number int, settled chan<- bool) *client {
	c := &client{
		driver: d, load: &d.load, kind: k, number: number, settled: settled,
		random: rand.New(rand.NewPCG(d.load.Seed, uint64(number))),
	}
	c.tally.byPID, c.tally.byGeneration = map[int]int{}, map[int]int{}
	return c
}

// run takes turns until ctx ends. A request in hand is finished then, and the
// connection looked at once more.
func (c *client) run(ctx context.Context) {
	c.due = time.Now()
	for ctx.Err() == nil {
		c.lost = false
		c.kind.turn(ctx, c)
		c.turns++
		if c.lost {
			c.rest(ctx, afterLoss)
		}
	}
	c.hangUp()
}

// next waits until the next turn begins, and returns from when its latency
// counts. It reports false when the load ends.
func (c *client) next(ctx context.Context) (time.Time, bool) {
	pause := c.between(c.load.Think)
	begun := time.Time{}
	if c.load.Pace > 0 {
		interval := time.Duration(float64(time.Second) / c.load.Pace)
		if c.turns == 0 {
			interval = c.between([2]time.Duration{0, interval}) // not all at once
		}
		c.due = c.due.Add(interval)
		begun, pause = c.due, time.Until(c.due)
	}
	c.rest(ctx, pause)
	if begun.IsZero() {
		begun = time.Now()
	}
	return begun, ctx.Err() == nil
}

// rest pauses, watching the idle connection meanwhile.
func (c *client) rest(ctx context.Context, d time.Duration) {
	until := time.Now().Add(d)
	if c.conn != nil {
		if err := c.conn.watch(ctx, until); err != nil {
			c.drop(err, "")
		}
	}
	pauseUntil(ctx, until)
}

func (c *client) open() error {
	if c.conn != nil {
		return nil
	}
	c.dialed++
	conn, err := dial(c.load, c.localAddr())
	if err != nil {
		return err
	}
	c.conn = conn
	c.tally.opened()
	return nil
}

// localAddr names the client on a unix socket, where the kernel would not.
func (c *client) localAddr() net.Addr {
	if c.load.Network != "unix" || !abstractSockets {
		return nil
	}
	name := fmt.Sprintf("@handovertest-%s-%d-%d", c.driver.name, c.number, c.dialed)
	return &net.UnixAddr{Net: "unix", Name: name}
}

func (c *client) good(a Answer, begun time.Time) {
	if !begun.IsZero() {
		took := time.Since(begun)
		c.tally.took(took)
		if c.load.OnAnswer != nil {
			c.load.OnAnswer(c.kind.name, begun, took)
		}
	}
	c.tally.answered(a)
	c.driver.answered(a)
	c.settle(true)
}

func (c *client) settle(good bool) {
	if c.settled != nil {
		c.settled <- good
		c.settled = nil
	}
}

// drop records a loss and gives up the connection.
func (c *client) drop(err error, id string) {
	c.lose(err, id)
	c.closeConn()
}

// lose records a loss, of the connection or of the request of that id.
func (c *client) lose(err error, id string) {
	var f *fault
	if !errors.As(err, &f) {
		f = &fault{Wrong, err.Error()}
	}
	loss := Loss{
		Outcome: f.outcome, At: time.Now(), Kind: c.kind.name, Client: c.number, Request: id, Reason: f.reason,
	}
	if c.conn != nil {
		loss.Local, loss.Opened = c.conn.local, c.conn.opened
	}
	c.lost = true
	c.tally.lost(loss)
	c.settle(false)
}

func (c *client) closedPolitely(resp *http.Response, id string) {
	outcome := ClosedPolite
	if c.load.CountPoliteCloses {
		outcome = Closed
	}
	c.tally.lost(Loss{
		Outcome: outcome, At: time.Now(), Kind: c.kind.name, Client: c.number, Request: id,
		Local: c.conn.local, Opened: c.conn.opened, Reason: resp.Proto + ` answer with "Connection: close"`,
	})
}

// hangUp gives up the idle connection after a last look at it.
func (c *client) hangUp() {
	if c.conn == nil {
		return
	}
	if err := c.conn.quiet(); err != nil {
		c.drop(err, "")
	}
	c.closeConn()
}

func (c *client) closeConn() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

func (c *client) between(r [2]time.Duration) time.Duration {
	return r[0] + time.Duration(c.random.Int64N(int64(r[1]-r[0])+1))
}

func (c *client) newID() string {
	c.asked++
	return fmt.Sprintf("%s-%d-%d", c.driver.name, c.number, c.asked)
}

func pauseUntil(ctx context.Context, until time.Time) {
	d := time.Until(until)
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
