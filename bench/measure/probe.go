package measure

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/handover-go/handover/bench/service"
)

// Conn asks for /plain, one request after the other, without a heap object for each.
type Conn struct {
	net.Conn
	buf [4096]byte
}

var (
	request = []byte("GET /plain HTTP/1.1\r\nHost: bench\r\n\r\n")
	ending  = bytes.Repeat([]byte("x"), service.BodySize)
)

// Dial connects within a timeout, which also bounds all that is asked.
func Dial(address string, timeout time.Duration) (*Conn, error) {
	c, err := net.DialTimeout("tcp", address, timeout)
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(timeout))
	return &Conn{Conn: c}, nil
}

// Ask sends a request, and reads the whole answer.
func (c *Conn) Ask() error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	for n := 0; ; {
		m, err := c.Read(c.buf[n:])
		if err != nil {
			return err
		}
		n += m
		if !bytes.HasPrefix(c.buf[:n], []byte("HTTP/1.1 200 ")[:min(n, 13)]) {
			return fmt.Errorf("answered %.40q", c.buf[:n])
		}
		if bytes.HasSuffix(c.buf[:n], ending) {
			return nil
		}
		if n == len(c.buf) {
			return io.ErrShortBuffer
		}
	}
}

// Drop closes the connection by a reset, which leaves no port in TIME_WAIT: the probe uses up thousands a second.
func (c *Conn) Drop() {
	_ = c.Conn.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
}

// Probe asks on a new connection each time, one right after the other.
type Probe struct {
	stop    context.CancelFunc
	wait    sync.WaitGroup
	mu      sync.Mutex
	answers []Answer
	came    chan struct{} // closed at the next answer
	failed  int
}

// Answer is a good one.
type Answer struct{ Asked, At time.Time }

// probePatience bounds one probe.
const probePatience = 5 * time.Second

// NewProbe begins to probe. The caller calls Stop.
func NewProbe(ctx context.Context, address string) *Probe {
	ctx, stop := context.WithCancel(ctx)
	p := &Probe{stop: stop, came: make(chan struct{})}
	p.wait.Go(func() {
		for ctx.Err() == nil {
			asked := time.Now()
			err := probe(address)
			p.add(asked, err)
			if err != nil { // nobody is there: leave the processor to who should be
				pause(ctx, 100*time.Microsecond)
			}
		}
	})
	return p
}

func probe(address string) error {
	c, err := Dial(address, probePatience)
	if err != nil {
		return err
	}
	defer c.Drop()
	return c.Ask()
}

func (p *Probe) add(asked time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.failed++
		return
	}
	p.answers = append(p.answers, Answer{asked, time.Now()})
	close(p.came)
	p.came = make(chan struct{})
}

// After waits for a good answer to what was asked after that instant.
func (p *Probe) After(ctx context.Context, at time.Time) (Answer, error) {
	for {
		p.mu.Lock()
		came := p.came
		if n := len(p.answers); n > 0 && p.answers[n-1].Asked.After(at) {
			for n > 1 && p.answers[n-2].Asked.After(at) {
				n--
			}
			defer p.mu.Unlock()
			return p.answers[n-1], nil
		}
		p.mu.Unlock()
		select {
		case <-came:
		case <-ctx.Done():
			return Answer{}, ctx.Err()
		}
	}
}

// Failed is how many were not answered.
func (p *Probe) Failed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}

// Stop ends the probe, and returns every good answer, in order.
func (p *Probe) Stop() []Answer {
	p.stop()
	p.wait.Wait()
	return p.answers
}

// Gap is the longest time from one good answer to the next that touches the span.
func Gap(answers []Answer, from time.Time, span time.Duration) time.Duration {
	to, gap := from.Add(span), time.Duration(0)
	for i := 1; i < len(answers); i++ {
		if before, after := answers[i-1].At, answers[i].At; after.After(from) && before.Before(to) {
			gap = max(gap, after.Sub(before))
		}
	}
	return gap
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// Pause waits, or until the end of ctx.
func Pause(ctx context.Context, d time.Duration) error {
	pause(ctx, d)
	return ctx.Err()
}
