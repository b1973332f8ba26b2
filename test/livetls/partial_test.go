//go:build linux

package livetls

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/test/internal/client"
	"github.com/handover-go/handover/test/traffic"
)

// moments of one upgrade, in their order, by the line that tells of each.
var moments = []string{
	`msg="handover begins: the successor is started"`, `msg="serving on probation"`, `msg="serving: the handover is final"`,
}

// request is what a client says on a connection: records of so many bytes of text each, of which so much is sent before the moment.
type request struct {
	text    string
	answers int
	record  int
	before  func(sealed []byte) int
}

// half is half of what is sealed; the others are whole records, and a bit of the one behind them.
func half(sealed []byte) int { return len(sealed) / 2 }
func none([]byte) int        { return 0 }
func first(sealed []byte) int {
	return headerSize + int(sealed[3])<<8 + int(sealed[4])
}
func header(sealed []byte) int    { return first(sealed) + 3 }
func all(sealed []byte) int       { return len(sealed) }
func allButOne(sealed []byte) int { return len(sealed) - 1 }

const headerSize = 5

const (
	echo   = "GET /echo?id=1 HTTP/1.1\r\nHost: service\r\nX-One: two\r\n\r\n"
	large  = "GET /echo?n=400 HTTP/1.1\r\nHost: service\r\n\r\n"
	slow   = "GET /echo?ms=200 HTTP/1.1\r\nHost: service\r\n\r\n"
	post   = "POST /echo HTTP/1.1\r\nHost: service\r\nContent-Length: 30\r\n\r\nabcdefghijklmnopqrstuvwxyz0123"
	parts  = "POST /echo HTTP/1.1\r\nHost: service\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n5\r\nabcde\r\n3\r\nfgh\r\n0\r\nX-T: last\r\n\r\n"
	unread = "POST /long?n=1 HTTP/1.1\r\nHost: service\r\nContent-Length: 4\r\n\r\nbody"
	whole  = 1 << 14
)

// requests are cut everywhere that matters.
var requests = map[string]request{
	"nothing yet":                      {echo, 1, whole, none},
	"half a header":                    {echo, 1, whole, func([]byte) int { return 3 }},
	"half a record":                    {echo, 1, whole, half},
	"all but a byte of the tag":        {echo, 1, whole, allButOne},
	"half a head in a whole record":    {echo, 1, 30, first},
	"and the beginning of the next":    {echo, 1, 30, header},
	"a head in tiny records":           {echo, 1, 1, half},
	"one that ends with a line":        {echo, 1, len("GET /echo?id=1 HTTP/1.1\r\nHost: service\r\n"), first},
	"a large answer":                   {large, 1, whole, half},
	"a post":                           {post, 1, whole, half},
	"a post, its head":                 {post, 1, len(post) - 30, first},
	"a post, half its body":            {post, 1, len(post) - 15, first},
	"a post in tiny records":           {post, 1, 2, half},
	"chunks":                           {parts, 1, len(parts) - 20, first},
	"chunks in tiny records":           {parts, 1, 3, half},
	"requests in one record":           {echo + post + echo, 3, whole, half},
	"a request and half of another":    {echo + post + echo, 3, len(echo) + 20, first},
	"requests in records of their own": {strings.Repeat(echo, 5), 5, len(echo), func(b []byte) int { return 2*first(b) + 10 }},
	"a request at work, and another":   {slow + echo, 2, len(slow), first},
	"at work, and half a record":       {slow + echo, 2, len(slow), header},
	"at work, and a record":            {slow + echo + echo, 3, len(slow) + 5, first},
	"behind a body that nobody reads":  {unread + echo, 2, len(unread), all},
	"all of it":                        {slow + post + echo, 3, whole, all},
}

// TestRecordsInPartAreAnsweredAsByPlainNetHTTP: whatever has come of records and of heads at any moment of an upgrade, on new connections and on idle
// ones, the client gets the bytes that plain net/http would have answered.
func TestRecordsInPartAreAnsweredAsByPlainNetHTTP(t *testing.T) {
	t.Parallel()
	s := start(t)
	reference := httptest.NewServer(traffic.Handler(func() int { return 0 }))
	defer reference.Close()
	wanted := make(map[string]string)
	for of, r := range requests {
		c, err := net.Dial("tcp", reference.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, r.text); err != nil {
			t.Fatal(err)
		}
		wanted[of], err = transcript(c, r.answers)
		if err != nil {
			t.Fatalf("%s: plain net/http: %v", of, err)
		}
		_ = c.Close()
	}
	for at := range moments {
		s.playAt(at, wanted)
	}
}

// playAt upgrades, and plays all requests with that moment in their midst.
func (s *service) playAt(at int, wanted map[string]string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.Ctx, patience)
	defer cancel()
	moment := s.WatchFor(moments[at])
	reached := make(chan struct{})
	var ready, played sync.WaitGroup
	for of, r := range requests {
		for _, idle := range []bool{false, true} {
			v := s.visit()
			if idle {
				v.IsOf(s.PID())
			}
			sealed := v.records(r.text, r.record)
			cut := r.before(sealed)
			ready.Add(1)
			played.Go(func() {
				_, err := v.below.Conn.Write(sealed[:cut])
				ready.Done()
				select {
				case <-reached:
				case <-ctx.Done():
				}
				if err == nil {
					_, err = v.below.Conn.Write(sealed[cut:])
				}
				if err != nil {
					s.t.Errorf("%s: %v", of, err)
					return
				}
				v.Hearing()
				got, err := transcript(v, r.answers)
				if err != nil || got != wanted[of] {
					s.t.Errorf("%s, at moment %d, idle %t: %.300q, %v; plain net/http: %.300q", of, at, idle, got, err, wanted[of])
				}
			})
		}
	}
	ready.Wait()
	final := s.WatchFor(moments[len(moments)-1])
	s.Signal(s.PID(), syscall.SIGUSR2)
	s.Line(moment, "the moment does not come")
	close(reached)
	played.Wait()
	s.Line(final, "the upgrade is not final")
}

var perProcess = regexp.MustCompile(`(?m)^(Date|X-Process): [^\r\n]*`)

// transcript reads so many answers, and what of them is the same whoever answers.
func transcript(from io.Reader, answers int) (string, error) {
	var all strings.Builder
	in := bufio.NewReader(io.TeeReader(from, &all))
	for range answers {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return all.String(), err
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return all.String(), err
		}
	}
	return perProcess.ReplaceAllString(all.String(), "$1: *"), nil
}

// TestHalfARecordStaysWithWhoBeganToRead it, with half a head, half a body and requests behind one another: the connection moves when all of it was
// answered. Guard: conn.waits, "c.point.Stands(room)".
func TestHalfARecordStaysWithWhoBeganToRead(t *testing.T) {
	t.Parallel()
	s := start(t, "TELLS_IDLE=1")
	before := s.PID()
	const ask = "GET /?id=1 HTTP/1.1\r\nHost: service\r\n\r\n"
	const unread = "POST /?id=1 HTTP/1.1\r\nHost: service\r\nContent-Length: 4\r\n\r\nbody"
	const upload = "POST /upload?id=1 HTTP/1.1\r\nHost: service\r\nContent-Length: 8\r\n\r\nhalfhalf"
	const waits = "GET /slow?id=1&ms=1500 HTTP/1.1\r\nHost: service\r\n\r\n"
	type half struct {
		of string
		v  *visitor
		request
		rest []byte
	}
	var all []half
	for of, r := range map[string]request{
		"half a record":                   {ask, 1, whole, func(b []byte) int { return len(b) / 2 }},
		"half a head":                     {ask, 1, 20, first},
		"a head in tiny records":          {ask, 1, 1, func(b []byte) int { return len(b) - 60 }},
		"half a body":                     {upload, 1, len(upload) - 4, first},
		"requests in one record":          {waits + ask, 2, whole, func(b []byte) int { return len(b) }},
		"half a request behind another":   {waits + ask, 2, len(waits) + 9, first},
		"behind a body that nobody reads": {unread + ask, 2, len(unread), func(b []byte) int { return len(b) }},
		"a whole one behind it":           {waits + ask, 2, len(waits), func(b []byte) int { return len(b) }},
	} {
		v := s.visit()
		v.rests(s, before)
		sealed := v.records(r.text, r.record)
		cut := r.before(sealed)
		v.begins(s, sealed[:cut])
		all = append(all, half{of, v, r, sealed[cut:]})
	}
	after := s.Next()
	for _, h := range all {
		h.v.T = named{t, h.of}
		h.v.sends(h.rest)
		for range h.answers {
			h.v.AnswerTo("1", before)
		}
	}
	s.AwaitExit(before)
	for _, h := range all {
		h.v.IsOf(after)
	}
}

// TestHalfARecordBehindARequestTravels: net/http waits for none of it yet, so the rest of it comes to the next process, who has begun to read it then.
// Guard: listener.serve, "up.record.Raw".
func TestHalfARecordBehindARequestTravels(t *testing.T) {
	t.Parallel()
	s := start(t)
	before := s.PID()
	const waits = "GET /slow?id=1&ms=1000 HTTP/1.1\r\nHost: service\r\n\r\n"
	cuts := []int{1, 4, headerSize, headerSize + 1, headerSize + 30}
	rests := make([][]byte, len(cuts))
	all := make([]*visitor, len(cuts))
	for i, cut := range cuts {
		v := s.visit()
		v.IsOf(before)
		sealed := v.records(waits+client.Request("/?id=2"), len(waits))
		at := first(sealed) + cut
		v.sends(sealed[:at])
		all[i], rests[i] = v, sealed[at:]
	}
	after := s.Next()
	for _, v := range all {
		v.AnswerTo("1", before)
	}
	s.AwaitExit(before) // the half records are gone from it
	for i, v := range all {
		v.sends(rests[i])
		v.AnswerTo("2", after)
	}
	after = s.Replaced()
	for _, v := range all {
		v.IsOf(after)
	}
}

// named says of which case an error is.
type named struct {
	testing.TB
	of string
}

func (n named) Fatalf(format string, args ...any) {
	n.Helper()
	n.TB.Fatalf("%s: %s", n.of, fmt.Sprintf(format, args...))
}

// TestConnectionOfManyUpgradesIsOne: ten in a row, of a client that was resumed, and of one that was not; whatever was agreed on in the handshake.
func TestConnectionOfManyUpgradesIsOne(t *testing.T) {
	t.Parallel()
	s := start(t)
	clients := map[string]func(*tls.Config){
		"as it comes":        func(*tls.Config) {},
		"resumed":            func(c *tls.Config) { c.ClientSessionCache = s.sessions() },
		"without a protocol": func(c *tls.Config) { c.NextProtos = nil },
	}
	var all []*visitor
	for of, change := range clients {
		v := s.visit(change)
		if state := v.ConnectionState(); state.DidResume != (of == "resumed") {
			t.Errorf("%s: resumed %t", of, state.DidResume)
		}
		all = append(all, v)
	}
	for n := range 10 {
		pid := s.Replaced()
		for _, v := range all {
			v.Ask("/?id=" + strconv.Itoa(n))
			v.AnswerTo(strconv.Itoa(n), pid)
		}
	}
}

// sessions are those that one connection has left behind.
func (s *service) sessions() tls.ClientSessionCache {
	s.t.Helper()
	cache := tls.NewLRUClientSessionCache(1)
	v := s.visit(func(c *tls.Config) { c.ClientSessionCache = cache })
	v.IsOf(s.PID())
	_ = v.Close()
	return cache
}

// TestEmptyLineAfterAPostIsForgivenAcrossMoves, as by net/http where there was none (RFC 9112, section 2.2), be it in a record of its own or with what follows. Guard:
// conn.hear, "c.point.Forgive(p)"; without it the line is answered by 400.
func TestEmptyLineAfterAPostIsForgivenAcrossMoves(t *testing.T) {
	t.Parallel()
	s := start(t)
	before := s.PID()
	alone, together := s.visit(), s.visit()
	for _, v := range []*visitor{alone, together} {
		v.Send("POST /upload?id=1 HTTP/1.1\r\nHost: service\r\nContent-Length: 4\r\n\r\nbody")
		v.AnswerTo("1", before)
	}
	after := s.Replaced()
	alone.Send("\r\n")
	alone.StaysOpen(100 * time.Millisecond)
	alone.IsOf(after)
	together.Send("\r\n%s", client.Request("/?id=2"))
	together.AnswerTo("2", after)
}
