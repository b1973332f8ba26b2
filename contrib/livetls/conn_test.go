package livetls

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/handover-go/handover"
	"github.com/handover-go/handover/contrib/livetls/internal/record"
)

// TestDeadlinesOfASessionAreTheProgramsAlone, also where it has come with its connection: nothing of net/http's is corrected. Guard: newConn, "up.above != nil".
func TestDeadlinesOfASessionAreTheProgramsAlone(t *testing.T) {
	server, client := configs(t)
	up := shakeHands(t, server, client, nil).moves(t, 1)
	up.above = &session{kind: "lines"}
	_, far := pair(t)
	c := newConn(&pipe{Conn: far}, up)
	if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 600)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a read whose deadline has passed: %v", err)
	}
}

// TestEmptyLineIsForgivenWhereARequestIsLookedFor on a connection that has come. A session's bytes are its own, and those of a connection on which nothing was asked
// are net/http's to judge. Guards: conn.hear, "c.point.Forgive(p)"; idle.Arrived, "forgives: forgiven".
func TestEmptyLineIsForgivenWhereARequestIsLookedFor(t *testing.T) {
	const sent = "\r\n\r\n\r\nGET /"
	for of, test := range map[string]struct {
		change func(*established)
		want   string
	}{
		"come":                 {func(*established) {}, sent[4:]},
		"come, nothing asked":  {func(up *established) { up.came.fresh = true }, sent},
		"come, with a session": {func(up *established) { up.above = &session{kind: "lines"} }, sent},
		"not come":             {func(up *established) { up.came = nil }, sent},
	} {
		server, client := configs(t)
		h := shakeHands(t, server, client, nil)
		up := h.moves(t, 1)
		test.change(up)
		c := newConn(&pipe{Conn: h.raw}, up)
		c.ObserveState(http.StateNew)
		if _, err := io.WriteString(h.client, sent); err != nil {
			t.Fatal(err)
		}
		room := make([]byte, 4096)
		if n, err := c.Read(room); err != nil || string(room[:n]) != test.want {
			t.Errorf("%s: %q, %v; want %q", of, room[:n], err, test.want)
		}
	}
}

// TestConnectionThatHasBroughtAnEmptyLineIsStillIdle, where that is forgiven. Guard: conn.Read, "n > 0 || err != nil".
func TestConnectionThatHasBroughtAnEmptyLineIsStillIdle(t *testing.T) {
	server, client := configs(t)
	h := shakeHands(t, server, client, nil)
	c := newConn(&asking{pipe: &pipe{Conn: h.raw}, asksAt: 2}, h.moves(t, 1))
	c.ObserveState(http.StateNew)
	if _, err := io.WriteString(h.client, "\r\n"); err != nil {
		t.Fatal(err)
	}
	room := make([]byte, 4096)
	if n, err := c.Read(room); n != 0 || !errors.Is(err, io.EOF) || c.left == nil {
		t.Errorf("asked to leave behind it, it reads %q, %v", room[:n], err)
	}
}

// TestSessionTakesWhatItHasReadAlong, ahead of what it had not.
func TestSessionTakesWhatItHasReadAlong(t *testing.T) {
	server, client := configs(t)
	h := shakeHands(t, server, client, nil)
	c := newConn(&pipe{Conn: h.raw, unread: h.trace.remainder()}, h.up)
	if _, err := io.WriteString(h.client, "one two three"); err != nil {
		t.Fatal(err)
	}
	read := make([]byte, 8)
	if _, err := io.ReadFull(c, read); err != nil {
		t.Fatal(err)
	}
	if err := c.Carry("words", []byte("state"), read[4:]); err != nil {
		t.Fatal(err)
	}
	<-c.done
	next, err := decode(c.left.encode())
	if err != nil {
		t.Fatal(err)
	}
	if next.above == nil || next.above.kind != "words" || string(next.above.state) != "state" || string(next.record.Plain) != "two three" {
		t.Errorf("it takes along %+v, %q", next.above, next.record.Plain)
	}
	if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a write behind it: %v", err)
	}
	if err := c.Carry("words", nil, nil); err == nil {
		t.Error("it was carried twice")
	}
}

// TestConnectionLeavesAtTheIdlePointAlone: not in a request, not with a record that has come, and not after a write that failed.
func TestConnectionLeavesAtTheIdlePointAlone(t *testing.T) {
	server, client := configs(t)
	h := shakeHands(t, server, client, nil)
	p := &pipe{Conn: h.raw, unread: h.trace.remainder()}
	c := newConn(p, h.up)
	const buffer = 4096 // net/http's
	for _, s := range []http.ConnState{http.StateNew, http.StateActive} {
		c.ObserveState(s)
	}
	if c.waits(buffer) {
		t.Error("in a request it would leave")
	}
	c.ObserveState(http.StateIdle)
	_ = c.SetReadDeadline(time.Time{}) // as net/http does
	if !c.waits(buffer) || c.waits(buffer-1) {
		t.Error("between two requests it does not leave, or with a part of one in net/http's buffer")
	}
	_ = h.raw.SetWriteDeadline(time.Unix(1, 0))
	if _, err := c.Write([]byte("x")); err == nil {
		t.Fatal("a write past its deadline succeeded")
	}
	if c.leave() {
		t.Error("it leaves, and what its client has of the last write is not known")
	}
	p.ask()
	_ = h.raw.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := c.Read(make([]byte, buffer)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("net/http, which is to go on with it, is told %v", err)
	}
}

// TestRecordThatIsHereIsServedHere: it may hold a request. Guard: conn.waits, "c.Conn.Pending()".
func TestRecordThatIsHereIsServedHere(t *testing.T) {
	server, client := configs(t)
	below := &joining{holdsFrom: 1 << 20}
	h := shakeHands(t, server, client, func(c net.Conn) net.Conn { below.Conn = c; return below })
	below.holdsFrom = 0
	for _, text := range []string{"one", "two"} {
		if _, err := io.WriteString(h.client, text); err != nil {
			t.Fatal(err)
		}
	}
	c := newConn(&pipe{Conn: h.raw, unread: append(h.trace.remainder(), below.held...)}, h.up)
	room := make([]byte, 4096)
	if n, err := c.Read(room); err != nil || string(room[:n]) != "one" {
		t.Fatalf("%q, %v", room[:n], err)
	}
	c.ObserveState(http.StateIdle)
	_ = c.SetReadDeadline(time.Time{})
	if c.waits(len(room)) {
		t.Error("it would wait for what has come")
	}
	if n, err := c.Read(room); err != nil || string(room[:n]) != "two" {
		t.Errorf("%q, %v", room[:n], err)
	}
	c.ObserveState(http.StateIdle)
	_ = c.SetReadDeadline(time.Time{})
	if !c.waits(len(room)) {
		t.Error("it does not wait though nothing has come")
	}
}

// TestConnectionOnWhichARecordHasBroughtNothingIsStillIdle: it waits again, where it can be asked to leave, and every number is right where it goes on. Guard:
// conn.Read, "c.Conn.ReadRecord(p)".
func TestConnectionOnWhichARecordHasBroughtNothingIsStillIdle(t *testing.T) {
	const (
		typeAlert   = 21
		update      = "\x18\x00\x00\x01\x00"
		updateAsked = "\x18\x00\x00\x01\x01"
	)
	for of, sent := range map[string]struct {
		before  string // a request
		typ     byte
		content string
	}{
		"an empty record":                   {"", typeApplication, ""},
		"user_canceled":                     {"", typeAlert, "\x01\x5a"},
		"a KeyUpdate":                       {"", typeHandshake, update},
		"a KeyUpdate that wants an answer":  {"", typeHandshake, updateAsked},
		"a KeyUpdate that came with a head": {"GET /", typeHandshake, updateAsked},
	} {
		t.Run(of, func(t *testing.T) {
			server, client := configs(t)
			h := shakeHands(t, server, client, nil)
			out := h.sealing(t)
			records := h.trace.remainder()
			if sent.before != "" {
				records = out.seal(records, typeApplication, sent.before)
			}
			records = out.seal(records, sent.typ, sent.content)
			if sent.typ == typeHandshake {
				out.renew()
			}
			p := &pipe{Conn: h.raw, unread: records}
			c := newConn(&asking{pipe: p, asksAt: 2}, h.up)
			c.ObserveState(http.StateNew)
			room := make([]byte, 4096) // net/http's
			if sent.before != "" {
				if n, err := c.Read(room); err != nil || string(room[:n]) != sent.before {
					t.Fatalf("%q, %v", room[:n], err)
				}
				c.ObserveState(http.StateActive)
				c.ObserveState(http.StateIdle)
				_ = c.SetReadDeadline(time.Time{})
			}
			_ = h.raw.SetReadDeadline(time.Now().Add(time.Second))
			if n, err := c.Read(room); n != 0 || !errors.Is(err, io.EOF) || c.left == nil {
				t.Fatalf("asked to leave behind the record, it reads %q, %v", room[:n], err)
			}
			_ = h.raw.SetReadDeadline(time.Now().Add(patience))
			next, err := decode(c.left.encode())
			if err != nil {
				t.Fatal(err)
			}
			p.unread = out.seal(nil, typeApplication, "goes on")
			there := newConn(p, next)
			if n, err := there.Read(room); err != nil || string(room[:n]) != "goes on" {
				t.Errorf("where it has gone, %q, %v", room[:n], err)
			}
			if _, err := io.WriteString(there, "answer"); err != nil {
				t.Fatal(err)
			}
			if n, err := h.client.Read(room); err != nil || string(room[:n]) != "answer" {
				t.Errorf("the client hears %q, %v", room[:n], err)
			}
		})
	}
}

// asking is a carrier whose session is to be let go when it waits for the so-manyth time.
type asking struct {
	*pipe
	waits, asksAt int
}

func (a *asking) Wait(buffered int) error {
	if a.waits++; a.waits == a.asksAt {
		return handover.ErrLetGo
	}
	return a.pipe.Wait(buffered)
}

// sealing makes a client's records in place of crypto/tls.
type sealing struct {
	t    *testing.T
	half *record.Half
}

func (h *handshake) sealing(t *testing.T) *sealing {
	t.Helper()
	in := h.up.record.In
	half, err := record.NewHalf(in.Suite(), in.Secret(), in.Seq())
	if err != nil {
		t.Fatal(err)
	}
	return &sealing{t, half}
}

// seal appends the next record.
func (s *sealing) seal(to []byte, typ byte, content string) []byte {
	s.t.Helper()
	to, err := s.half.Seal(to, typ, []byte(content))
	if err != nil {
		s.t.Fatal(err)
	}
	return to
}

// renew goes on to the next secret, as behind a KeyUpdate.
func (s *sealing) renew() {
	s.t.Helper()
	if err := s.half.Next(); err != nil {
		s.t.Fatal(err)
	}
}
