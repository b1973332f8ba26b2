package handovertest

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Load says which service to drive, with which clients, at which rhythm.
// Address is needed; every other field has a useful zero value.
type Load struct {
	// Network is "tcp" (default), "tcp4", "tcp6" or "unix".
	Network string
	// Address is host:port, or the path of a unix socket.
	Address string
	// Host is the Host header; default: Address, or "localhost" on a unix socket.
	Host string

	// TLS, unless nil, is spoken on every connection, with HTTP/1.1: its
	// RootCAs know the service's certificate, whose name is in ServerName, by
	// default the host of Address.
	TLS *tls.Config

	// Clients is how many clients of each kind there are; default: [Polite],
	// or its kinds that can send Request when that is set.
	Clients Clients
	// Timeout bounds each operation: a dial, a write, an answer. The pauses
	// that a client makes by design do not count against it. Default: 30 s.
	Timeout time.Duration
	// Think is the range of the pause between two requests of one client.
	// Default: 1 to 20 ms. Negative: none.
	Think [2]time.Duration
	// Span is the range of the time over which Slow, Upload, Continue,
	// Dribble and Stream stretch one request. Default: 100 to 400 ms.
	Span [2]time.Duration
	// Quiet is the range of the time for which Silent and Idle say nothing.
	// It has to stay below the read and idle timeouts of the service, or they
	// are found as closed connections. Stop cuts it short: the client asks
	// what it owes, and leaves. Default: 5 to 10 s.
	Quiet [2]time.Duration
	// Pace, when positive, makes every client an open loop of that many turns
	// per second: a turn that cannot begin in time is begun as soon as
	// possible, and its latency counts from the intended instant (Gil Tene,
	// "How NOT to Measure Latency"). It replaces Think. Slow, Upload, Dribble,
	// Stream, Silent and Idle keep their own lengths. Default: closed loop.
	Pace float64

	// Request builds the request of that id, for a service with answers of its
	// own: neither HEAD nor CONNECT, nor one that asks for the connection to be
	// closed. It is called by many clients at once. Slow, Upload, Continue and
	// Stream need the paths of [Handler] and cannot be combined with it.
	Request func(id string) (*http.Request, error)
	// Verify checks an answer to Request: an error counts as wrong. What it
	// fills in of Answer is reported. Default with Request: status 200.
	Verify func(id string, resp *http.Response, body []byte) (Answer, error)

	// OnAnswer, unless nil, is told each latency that counts in
	// [Report.Latency], when its answer has come: the kind of the client, as in
	// Clients, and from when it counts. It is called by many clients at once,
	// and delays the one that calls it.
	OnAnswer func(kind string, begun time.Time, took time.Duration)

	// Ledger is the directory where the service's processes record what they
	// accepted; see [RecordAccepts]. Needed to tell losses in a crash.
	Ledger string
	// CountPoliteCloses makes an answer with "Connection: close" count as a
	// closed connection. HTTP allows it, and a handover can do without.
	CountPoliteCloses bool
	// Seed makes the pauses and splits repeatable. Default: random; the report
	// says which.
	Seed uint64
}

// Clients is the number of clients of each kind.
type Clients struct {
	KeepAlive int // asks on one connection, with pauses
	New       int // opens a connection for each request
	Slow      int // asks for an answer that takes its time
	Upload    int // trickles a POST, by Content-Length and in chunks with a trailer by turns
	Continue  int // sends a body after "100 Continue" only
	Pipelined int // sends several requests in one write
	Dribble   int // sends a request's head in small pieces
	Silent    int // opens a connection, says nothing for long, asks once
	Idle      int // asks, stays idle for long, asks again on the same connection
	Stream    int // reads a slow answer in chunks, line by line
}

// Polite returns a mix of 28 clients of every kind.
func Polite() Clients {
	return Clients{
		KeepAlive: 8, New: 4, Slow: 2, Upload: 3, Continue: 2,
		Pipelined: 2, Dribble: 2, Silent: 1, Idle: 2, Stream: 2,
	}
}

// Total returns the number of clients of all kinds.
func (c Clients) Total() int {
	total := 0
	for _, k := range kinds {
		total += k.count(c)
	}
	return total
}

// Answer says who answered a request.
type Answer struct {
	ID         string // of the request that was answered
	PID        int    // of the process that answered; 0: unknown
	Generation int    // of that process; 0: unknown
}

func (l Load) withDefaults() Load {
	if l.Network == "" {
		l.Network = "tcp"
	}
	if l.Host == "" {
		l.Host = l.Address
		if l.Network == "unix" {
			l.Host = "localhost"
		}
	}
	if l.TLS != nil {
		host, _, err := net.SplitHostPort(l.Address)
		if err != nil {
			host = l.Address
		}
		l.TLS = l.TLS.Clone()
		l.TLS.ServerName, l.TLS.NextProtos = cmp.Or(l.TLS.ServerName, host), []string{"http/1.1"}
	}
	if l.Clients == (Clients{}) {
		l.Clients = Polite()
		if l.Request != nil {
			l.Clients.Slow, l.Clients.Upload, l.Clients.Continue, l.Clients.Stream = 0, 0, 0, 0
		}
	}
	if l.Timeout == 0 {
		l.Timeout = 30 * time.Second
	}
	setRange(&l.Think, time.Millisecond, 20*time.Millisecond)
	setRange(&l.Span, 100*time.Millisecond, 400*time.Millisecond)
	setRange(&l.Quiet, 5*time.Second, 10*time.Second)
	return l
}

func setRange(r *[2]time.Duration, least, most time.Duration) {
	if *r == ([2]time.Duration{}) {
		*r = [2]time.Duration{least, most}
	}
}

func (l Load) validate() error {
	switch l.Network {
	case "tcp", "tcp4", "tcp6", "unix":
	default:
		return fmt.Errorf("load: network %q: not tcp, tcp4, tcp6 or unix", l.Network)
	}
	if l.Address == "" {
		return errors.New("load: no address")
	}
	if l.Timeout < 0 {
		return fmt.Errorf("load: timeout %v: negative", l.Timeout)
	}
	for name, r := range map[string][2]time.Duration{"think": l.Think, "span": l.Span, "quiet": l.Quiet} {
		if r[1] < r[0] {
			return fmt.Errorf("load: %s from %v to %v: wrong order", name, r[0], r[1])
		}
		if r[0] < 0 && name != "think" {
			return fmt.Errorf("load: %s from %v: negative", name, r[0])
		}
	}
	if l.Pace < 0 || l.Pace > 1e6 {
		return fmt.Errorf("load: pace %v: not within 0 to 1e6 a second", l.Pace)
	}
	for _, k := range kinds {
		switch n := k.count(l.Clients); {
		case n < 0:
			return fmt.Errorf("load: %d clients %s: negative", n, k.name)
		case n > 0 && l.Request != nil && k.ownPath:
			return fmt.Errorf("load: clients %s cannot send a request of your own", k.name)
		}
	}
	if l.Verify != nil && l.Request == nil {
		return errors.New("load: verify without request")
	}
	return nil
}
