// Package idle tells when nothing of a connection that net/http serves is in this process's memory, so that another process can go
// on with it.
package idle

import (
	"net/http"
	"time"
)

// BufferSize is the size of the buffer into which net/http's server reads. When it offers all of it on an idle
// connection, no byte of the next request is hidden in it. TestIdlePointOfNetHTTP holds it to the Go that compiles us.
const BufferSize = 4096

// Phase is where net/http stands with a connection.
type Phase uint8

// Phases of a connection.
const (
	Foreign  Phase = iota // no server that is known here has it
	Fresh                 // accepted, no request yet
	Active                // in a request
	Idle                  // between two
	Hijacked              // the handler has it
)

// Point follows one connection by what its server does with it: the states that it tells, the room that its reads offer, the
// deadlines that it sets. The zero Point is that of a connection which no server has yet. A Point is not safe for concurrent use.
type Point struct {
	Phase Phase

	heard    bool          // a byte was delivered since Phase became Fresh or Idle
	turns    int           // how often the read deadline was set since Phase became Idle
	arrival  *arrival      // of a connection that came from another process, until its first request is read
	forgives int           // how many CR and LF more before that request are passed over
	shift    time.Duration // what arrival adds to deadlines
	asked    time.Time     // the read deadline as the server set it
	deadline time.Time     // the one in force
}

// arrival is what a connection from another process brought along about its deadlines.
type arrival struct {
	at    time.Time
	fresh bool          // no request was read on it anywhere
	wait  time.Duration // what remained of the deadline for its next byte; 0: none
}

// Arrived is the Point of a connection that came from another process, where it was accepted age ago. fresh says that no request was
// read on it, wait what remained of the deadline for its next byte, 0 where there was none.
func Arrived(fresh bool, age, wait time.Duration) Point {
	p := Point{arrival: &arrival{at: time.Now(), fresh: fresh, wait: wait}, forgives: forgiven}
	if fresh {
		p.shift, p.forgives = -age, 0
	}
	p.deadline = p.correct(time.Time{})
	return p
}

// forgiven is how many bytes net/http looks at for empty lines after a POST.
const forgiven = 4

// Observe takes what the server tells, as its ConnState hook.
func (p *Point) Observe(s http.ConnState) {
	switch s {
	case http.StateNew:
		p.Phase = Fresh
	case http.StateActive:
		p.Phase, p.arrival = Active, nil
	case http.StateIdle:
		p.Phase, p.heard, p.turns = Idle, false, 0
	case http.StateHijacked:
		p.Phase = Hijacked
	}
}

// Between reports whether the server looks for a request: the first, or one of which nothing was parsed.
func (p *Point) Between() bool { return p.Phase == Fresh || p.Phase == Idle && p.turns == 1 }

// Stands reports whether a read that offers room bytes stands at the idle point. Before the first byte of a connection
// nothing can be hidden anywhere. Between requests net/http may hold the beginning of the next one (pipelining, a
// background read): then it offers less than its whole buffer, or, where it has parsed that beginning already, has set the
// deadline for the request after the one for being idle.
func (p *Point) Stands(room int) bool {
	return !p.heard && (p.Phase == Fresh || room == BufferSize && p.Between())
}

// Heard reports whether a byte was delivered since the server began to look for a request.
func (p *Point) Heard() bool { return p.heard }

// Forgive removes empty lines from the beginning of what was read, before the first request of an arrived connection, and returns how
// much is left. A server should forgive one before a request (RFC 9112, section 2.2). net/http does after a POST, and the one that is
// given a connection does not know what was asked on it before.
func (p *Point) Forgive(read []byte) int {
	if p.forgives == 0 {
		return len(read)
	}
	skip := 0
	for skip < min(len(read), p.forgives) && (read[skip] == '\r' || read[skip] == '\n') {
		skip++
	}
	p.forgives -= skip
	if skip < len(read) {
		p.forgives = 0
	}
	return copy(read, read[skip:])
}

// Hear notes that bytes reached the server. It reports whether another deadline holds from now on: an arrived connection's first
// request starts its deadlines now.
func (p *Point) Hear() (changed bool) {
	if p.heard {
		return false
	}
	p.heard = true
	if p.arrival == nil || p.arrival.fresh {
		return false
	}
	p.shift = time.Since(p.arrival.at)
	p.SetDeadline(p.asked)
	return true
}

// SetDeadline notes the read deadline that the server sets, and returns the one that is to hold.
func (p *Point) SetDeadline(t time.Time) time.Time {
	p.turns++
	p.asked, p.deadline = t, p.correct(t)
	return p.deadline
}

// Deadline is the read deadline that is to hold; zero: none.
func (p *Point) Deadline() time.Time { return p.deadline }

// Left is what remains of the deadline for the next byte, for Arrived; 0: there is none.
func (p *Point) Left() time.Duration {
	if p.deadline.IsZero() {
		return 0
	}
	return max(time.Until(p.deadline), time.Nanosecond)
}

// Unasked reports whether no request was read on the connection, here or in a process before.
func (p *Point) Unasked() bool { return p.Phase == Fresh && (p.arrival == nil || p.arrival.fresh) }

// correct corrects a deadline that net/http computed from the moment at which a connection came to it.
// To the client that moment does not exist: until the first byte the deadline that was running goes on, and those for
// reading the request begin with its first byte (or, where no request was ever read, when the client connected).
func (p *Point) correct(t time.Time) time.Time {
	a := p.arrival
	switch {
	case a == nil || t.Equal(past):
		return t
	case p.heard || a.fresh:
		if t.IsZero() {
			return t
		}
		return t.Add(p.shift)
	case a.wait > 0:
		return a.at.Add(a.wait)
	default:
		return time.Time{}
	}
}

// past is what net/http sets to end a read of its own at once.
var past = time.Unix(1, 0)
