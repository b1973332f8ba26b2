// Package relay is a network of changing delay between a test's clients and its service.
package relay

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Relay is a network of changing delay: it carries each connection to an address, and whatever is sent on it arrives after a random
// time, in order. An end of one side reaches the other as an end, a reset as a reset.
type Relay struct {
	ln      *net.TCPListener
	to      string
	delay   [2]time.Duration // least and most
	ended   chan struct{}
	done    sync.WaitGroup
	carried atomic.Int64
	waited  atomic.Int64 // the delays of all pieces
	pieces  atomic.Int64
}

// Start starts one that ends with the test.
func Start(t testing.TB, to string, least, most time.Duration) *Relay {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &Relay{ln: ln.(*net.TCPListener), to: to, delay: [2]time.Duration{least, most}, ended: make(chan struct{})}
	r.done.Go(r.accept)
	t.Cleanup(func() {
		close(r.ended)
		r.ln.Close()
		r.done.Wait()
	})
	return r
}

// Address is where clients connect.
func (r *Relay) Address() string { return r.ln.Addr().String() }

// Carried tells how many bytes it has carried, in how many pieces, and how late each was.
func (r *Relay) Carried() (bytes, pieces int64, late time.Duration) {
	pieces = r.pieces.Load()
	return r.carried.Load(), pieces, time.Duration(r.waited.Load() / max(pieces, 1))
}

func (r *Relay) accept() {
	for {
		from, err := r.ln.AcceptTCP()
		if err != nil {
			return
		}
		r.done.Go(func() { r.carry(from) })
	}
}

// carry carries one connection, to its end on both sides.
func (r *Relay) carry(client *net.TCPConn) {
	defer client.Close()
	c, err := net.Dial("tcp", r.to)
	if err != nil {
		_ = client.SetLinger(0) // to the client, as if it had been refused
		return
	}
	service := c.(*net.TCPConn)
	defer service.Close()
	over := make(chan struct{})
	defer close(over)
	r.done.Go(func() { // nobody waits for a relay
		select {
		case <-r.ended:
			client.Close()
			service.Close()
		case <-over:
		}
	})
	var both sync.WaitGroup
	both.Go(func() { r.oneWay(client, service) })
	both.Go(func() { r.oneWay(service, client) })
	both.Wait()
}

// piece is what came in one read, or how that ended.
type piece struct {
	due   time.Time
	bytes []byte
	err   error
}

// inFlight is how many pieces may be on their way in one direction: the sender waits then, as it does for a full window.
const inFlight = 64

func (r *Relay) oneWay(from, to *net.TCPConn) {
	line := make(chan piece, inFlight)
	r.done.Go(func() { r.read(from, line) })
	for p := range line {
		if wait := time.Until(p.due); wait > 0 {
			<-time.After(wait)
		}
		if p.err == nil {
			if _, err := to.Write(p.bytes); err != nil {
				_ = from.SetLinger(0)
				from.Close()
			}
			continue
		}
		if !errors.Is(p.err, io.EOF) {
			_ = to.SetLinger(0)
			to.Close()
			continue
		}
		_ = to.CloseWrite()
	}
}

// read puts what comes on the line, with the time at which it arrives: not before what was sent earlier.
func (r *Relay) read(from *net.TCPConn, line chan<- piece) {
	defer close(line)
	var last time.Time
	for {
		p := piece{bytes: make([]byte, 4096)}
		var n int
		n, p.err = from.Read(p.bytes)
		p.bytes = p.bytes[:n]
		delay := r.delay[0] + time.Duration(rand.Int64N(int64(r.delay[1]-r.delay[0])))
		if p.due = time.Now().Add(delay); p.due.Before(last) {
			p.due = last
		}
		last = p.due
		r.carried.Add(int64(n))
		r.waited.Add(int64(delay))
		r.pieces.Add(1)
		line <- p
		if p.err != nil {
			return
		}
	}
}
