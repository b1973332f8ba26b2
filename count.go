package handover

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/handover-go/handover/internal/wire"
)

// counts are of requests. Nothing is counted before somebody asks for figures.
type counts struct {
	since    atomic.Int64 // UnixNano; 0: it does not count
	total    atomic.Uint64
	errors   atomic.Uint64
	inFlight atomic.Int64
	latency  [wire.Buckets]atomic.Uint64
}

// begin counts from now on.
func (c *counts) begin() { c.since.CompareAndSwap(0, time.Now().UnixNano()) }

func (c *counts) on() bool { return c.since.Load() != 0 }

// figures are what was counted; nil if nothing is.
func (c *counts) figures() *wire.Requests {
	since := c.since.Load()
	if since == 0 {
		return nil
	}
	r := &wire.Requests{
		SinceMs: time.Since(time.Unix(0, since)).Milliseconds(), Total: c.total.Load(), Errors: c.errors.Load(), InFlight: c.inFlight.Load(),
	}
	for i := range c.latency {
		if n := c.latency[i].Load(); n > 0 {
			r.Latency = append(r.Latency, wire.Bucket{Index: i, Count: n})
		}
	}
	return r
}

// serve has next answer a request, and counts it.
func (c *counts) serve(next http.Handler, w http.ResponseWriter, r *http.Request) {
	c.inFlight.Add(1)
	began := time.Now()
	returned := false
	switch inner := w.(type) {
	case writer1:
		counted := writers1.Get().(*counted1)
		counted.writer1 = inner
		defer func() {
			panicked := recover()
			c.ended(began, failed(r, returned, panicked, counted.status), counted.hijacked)
			*counted = counted1{}
			writers1.Put(counted)
			again(panicked)
		}()
		next.ServeHTTP(counted, r)
	case writer2:
		counted := writers2.Get().(*counted2)
		counted.writer2 = inner
		defer func() {
			panicked := recover()
			c.ended(began, failed(r, returned, panicked, counted.status), false)
			*counted = counted2{}
			writers2.Put(counted)
			again(panicked)
		}()
		next.ServeHTTP(counted, r)
	default: // of a server that the program brought: its methods are not known here
		defer func() {
			panicked := recover()
			c.ended(began, failed(r, returned, panicked, 0), false)
			again(panicked)
		}()
		next.ServeHTTP(w, r)
	}
	returned = true
}

// failed reports whether a request is an error of the service. None is an answer that was aborted because its client had left, as
// httputil.ReverseProxy does.
func failed(r *http.Request, returned bool, panicked any, status int) bool {
	if err, ok := panicked.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		return r.Context().Err() == nil
	}
	return !returned || status >= http.StatusInternalServerError
}

// again panics on, for the server. It is called by what has recovered, on the stack of the handler, which the server's log so still has.
func again(panicked any) {
	if panicked != nil {
		panic(panicked)
	}
}

func (c *counts) ended(began time.Time, failed, hijacked bool) {
	c.inFlight.Add(-1)
	c.total.Add(1)
	if failed {
		c.errors.Add(1)
	}
	if !hijacked { // a conversation of its own is as long as it is
		c.latency[wire.BucketOf(time.Since(began))].Add(1)
	}
}

// writer is what the writers of net/http have in common.
type writer interface {
	http.ResponseWriter
	http.Flusher
	FlushError() error
	io.StringWriter
	http.CloseNotifier //nolint:staticcheck // SA1019: programs use it still
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
	EnableFullDuplex() error
}

// writer1 is that of HTTP/1.1, and writer2 that of HTTP/2. A program finds in a counted one every exported method that it would
// find without. What net/http finds by a method of its own is lost: http.MaxBytesReader does not close the connection of a request that is
// too large, and the server reads of the rest what it reads of any that a handler has left.
type (
	writer1 interface {
		writer
		http.Hijacker
		io.ReaderFrom
	}
	writer2 interface {
		writer
		http.Pusher
	}
)

// counted1 notes the status. Like the writers of net/http themselves, it must not be used after the handler has returned: it is
// another request's then.
type counted1 struct {
	writer1
	status   int
	hijacked bool
}

var writers1 = sync.Pool{New: func() any { return new(counted1) }}

// WriteHeader implements http.ResponseWriter. The last status is the answer's, as those of information precede it.
func (c *counted1) WriteHeader(status int) {
	if c.status < http.StatusOK {
		c.status = status
	}
	c.writer1.WriteHeader(status)
}

// Hijack implements http.Hijacker.
func (c *counted1) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffer, err := c.writer1.Hijack()
	c.hijacked = c.hijacked || err == nil
	return conn, buffer, err
}

// Unwrap serves http.ResponseController.
func (c *counted1) Unwrap() http.ResponseWriter { return c.writer1 }

// counted2 does so for HTTP/2.
type counted2 struct {
	writer2
	status int
}

var writers2 = sync.Pool{New: func() any { return new(counted2) }}

// WriteHeader implements http.ResponseWriter.
func (c *counted2) WriteHeader(status int) {
	if c.status < http.StatusOK {
		c.status = status
	}
	c.writer2.WriteHeader(status)
}

// Unwrap serves http.ResponseController.
func (c *counted2) Unwrap() http.ResponseWriter { return c.writer2 }
