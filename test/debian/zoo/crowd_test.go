//go:build debian

package zoo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

// crowd is clients that ask all at once.
type crowd struct {
	t       *testing.T
	ctx     context.Context
	leave   chan struct{} // closed when they are told to
	leaving sync.Once
	inside  sync.WaitGroup

	mu      sync.Mutex
	clients []*client
	losses  []loss
}

// client asks again and again. Its counts are its crowd's to lock.
type client struct {
	kind    string
	visits  int // that went well
	answers int // of all visits
	over    bool
}

// loss is something that a client did not get.
type loss struct {
	client *client
	visit  int
	at     time.Time
	err    error
}

func (l loss) String() string {
	return fmt.Sprintf("%s: visit %d, %s: %v", l.client.kind, l.visit, l.at.Format(time.TimeOnly+".000"), l.err)
}

// lostBy is an error with the process whose client has met it.
type lostBy struct {
	pid int
	error
}

func (l lostBy) Unwrap() error { return l.error }

// by is the process of the client; this one's are all plain sockets.
func (l loss) by() int {
	var p lostBy
	if errors.As(l.err, &p) {
		return p.pid
	}
	return os.Getpid()
}

func newCrowd(z *cage) *crowd {
	c := &crowd{t: z.t, ctx: z.ctx, leave: make(chan struct{})}
	z.t.Cleanup(func() {
		if z.t.Failed() {
			z.end() // whoever waits for an answer that does not come
		}
		c.left()
	})
	return c
}

// join has a client visit until it is told to leave, or until ctx ends. Visits are numbered from 1, and pause apart. One that sits on
// a single connection ends with its first loss, any other goes on.
func (c *crowd) join(kind string, pause time.Duration, single bool, visit func(i int) (answers int, err error)) *client {
	one := &client{kind: kind}
	c.mu.Lock()
	c.clients = append(c.clients, one)
	c.mu.Unlock()
	c.inside.Go(func() {
		defer c.record(func() { one.over = true })
		for i := 1; ; i++ {
			answers, err := visit(i)
			c.record(func() {
				one.answers += answers
				if err == nil {
					one.visits++
				} else {
					c.losses = append(c.losses, loss{one, i, time.Now(), err})
				}
			})
			if err != nil && (single || c.ctx.Err() != nil) {
				return
			}
			select {
			case <-time.After(pause):
			case <-c.leave:
				return
			}
		}
	})
	return one
}

func (c *crowd) record(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// answered waits until each of these clients has been answered in a visit that began after the call, or else in its first; without any, all
// clients.
func (c *crowd) answered(z *cage, clients ...*client) {
	z.t.Helper()
	c.mu.Lock()
	if len(clients) == 0 {
		clients = slices.Clone(c.clients)
	}
	want := map[*client]int{}
	for _, one := range clients {
		want[one] = 1
		if one.visits > 0 {
			want[one] = one.visits + 2
		}
	}
	c.mu.Unlock()
	z.Eventually("everybody answered", func() (any, bool) {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, one := range clients {
			if one.visits < want[one] && !one.over {
				return fmt.Sprintf("%s waits for its answer, lost: %v", one.kind, c.losses), false
			}
		}
		return nil, true
	})
}

// left tells all clients to leave, and waits until they have.
func (c *crowd) left() {
	c.leaving.Do(func() { close(c.leave) })
	c.inside.Wait()
}

// lost is what has been lost until now.
func (c *crowd) lost() []loss {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.losses)
}

// nothingLost fails the test for each loss.
func (c *crowd) nothingLost() {
	c.t.Helper()
	for _, l := range c.lost() {
		c.t.Errorf("lost: %v", l)
	}
}

// report logs how many answers each kind of client has had.
func (c *crowd) report() {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	type sum struct{ clients, visits, answers int }
	sums := map[string]*sum{}
	var kinds []string
	for _, one := range c.clients {
		s := sums[one.kind]
		if s == nil {
			s = &sum{}
			sums[one.kind] = s
			kinds = append(kinds, one.kind)
		}
		s.clients++
		s.visits += one.visits
		s.answers += one.answers
	}
	for _, kind := range kinds {
		s := sums[kind]
		c.t.Logf("%-24s %2d clients %6d visits %7d answers", kind, s.clients, s.visits, s.answers)
	}
}
