//go:build linux

package traffic

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/test/internal/due"
	"github.com/handover-go/handover/test/internal/journal"
)

// TestEventStreamEndsWellBeforeTheDrainDeadline: until then its generation goes on with it, and then tells its
// handler, who asked by WithDrainDeadline. Nothing is left to be cut.
func TestEventStreamEndsWellBeforeTheDrainDeadline(t *testing.T) {
	t.Parallel()
	const drain = 10 * time.Second
	const warned = drain - drain/10
	s, address, roots := startTLS(t, "HANDOVER_DRAIN_TIMEOUT="+drain.String())
	first := s.PID()
	streams := map[string]*eventStream{
		"HTTP/1.1":          s.openEvents(&http.Transport{}, "http://"+s.address, ""),
		"HTTP/1.1 over TLS": s.openEvents(&http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}, "https://"+address, ""),
		"HTTP/2":            s.openEvents(http2Transport(roots), "https://"+address, ""),
	}
	cut := s.WatchFor(`msg="drain deadline: connections closed"`)
	defer cut.Forget()
	draining := s.WatchFor("to=draining")
	s.Next()
	began := journal.Written(t, s.Line(draining, "it does not drain"))
	for proto, stream := range streams {
		end := stream.ends(first)
		due.Between(t, proto+" told to end", time.Since(began), warned, warned+due.Noise)
		if want := "this generation is about to cut what it has not finished"; end != want {
			t.Errorf("%s ended with %q; want %q", proto, end, want)
		}
	}
	s.AwaitExit(first)
	if out := s.Output(1000); strings.Contains(out, "drain deadline") {
		t.Error("something was left to be cut")
	}
}

// TestLongPollEndsAtFinal where the handler watches Draining: its client asks the next generation at once.
func TestLongPollEndsAtFinal(t *testing.T) {
	t.Parallel()
	s, address, roots := startTLS(t)
	first := s.PID()
	plain := s.openEvents(&http.Transport{}, "http://"+s.address, "?end=draining")
	secure := s.openEvents(http2Transport(roots), "https://"+address, "?end=draining")
	second := s.Next()
	for _, stream := range []*eventStream{plain, secure} {
		if end := stream.ends(first); end != "draining" {
			t.Errorf("ended with %q; want to be told of the drain", end)
		}
	}
	s.AwaitExit(first)
	s.openEvents(&http.Transport{}, "http://"+s.address, "").comes(second)
}

// TestConnectionsCutAtTheDrainDeadlineAreCountedByKind of what they were doing.
func TestConnectionsCutAtTheDrainDeadlineAreCountedByKind(t *testing.T) {
	t.Parallel()
	s, address, roots := startTLS(t, "HANDOVER_DRAIN_TIMEOUT=3s")
	first := s.PID()
	dialTLS(t, address, roots, "http/1.1").IsOf(first)
	cut := s.WatchFor(`msg="drain deadline: connections closed"`)
	streams := []*lines{
		startLines(s.dial()), startLines(s.dial()), startLines(dialTLS(t, address, roots, "http/1.1")),
		s.openLines(&http.Client{Transport: http2Transport(roots)}, "https://"+address),
	}
	s.dial().hijack(first)
	s.Next()
	s.dial().hijack(s.PID()) // of another generation
	line := s.Line(cut, "the cut is not logged")
	if want := "connections=6 http1_active=2 tls_active=1 tls_idle=1 http2_active=1 hijacked=1 reason="; !strings.Contains(line, want) {
		t.Errorf("logged %q; want %q", line, want)
	}
	for _, stream := range streams {
		if err := <-stream.ended; err == nil {
			t.Error("a stream that was cut ended as if it was whole")
		}
	}
	s.AwaitExit(first)
}

func http2Transport(roots *x509.CertPool) *http.Transport {
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
}

// eventStream is an answer of /events.
type eventStream struct {
	t     *testing.T
	input *bufio.Reader
	next  int
	leave func() // the connection, when the answer is whole
}

// openEvents asks for events, and waits for the first.
func (s *service) openEvents(transport *http.Transport, base, query string) *eventStream {
	s.t.Helper()
	s.t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport, Timeout: patience}
	resp, err := client.Get(base + "/events" + query)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { resp.Body.Close() })
	e := newEventStream(s.t, resp)
	e.leave = transport.CloseIdleConnections
	e.comes(s.PID())
	return e
}

func newEventStream(t *testing.T, resp *http.Response) *eventStream {
	t.Helper()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("events: %s", resp.Status)
	}
	return &eventStream{t: t, input: bufio.NewReader(resp.Body)}
}

// event reads one event.
func (e *eventStream) event() (name, data string) {
	e.t.Helper()
	for i, to := range []*string{&name, &data, new(string)} {
		line, err := e.input.ReadString('\n')
		if err != nil {
			e.t.Fatalf("event %d, line %d: %q, %v", e.next, i, line, err)
		}
		*to = strings.TrimSuffix(line, "\n")
	}
	return name, strings.TrimPrefix(data, "data: ")
}

// comes reads the next event, of that process.
func (e *eventStream) comes(pid int) {
	e.t.Helper()
	name, data := e.event()
	if want := fmt.Sprintf("id: %d", e.next); name != want || data != fmt.Sprint(pid) {
		e.t.Fatalf("event %q of %s; want %q of %d", name, data, want, pid)
	}
	e.next++
}

// ends reads on to the last event, which says why, and to the end of an answer that is whole.
func (e *eventStream) ends(pid int) (why string) {
	e.t.Helper()
	for {
		name, data := e.event()
		if name != "event: end" {
			if want := fmt.Sprintf("id: %d", e.next); name != want || data != fmt.Sprint(pid) {
				e.t.Fatalf("event %q of %s; want %q of %d", name, data, want, pid)
			}
			e.next++
			continue
		}
		if rest, err := io.ReadAll(e.input); len(rest) > 0 || err != nil {
			e.t.Errorf("behind the last event: %q, %v", rest, err)
		}
		e.leave()
		return data
	}
}
