//go:build linux

package traffic

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/count"
)

// moments of one upgrade, in their order, by the line that tells of each.
var moments = []string{
	`msg="handover begins: the successor is started"`, `msg="serving on probation"`, `msg="serving: the handover is final"`,
}

// clientsPerUpgrade share an upgrade, each at a place of its own in what it sends.
const clientsPerUpgrade = 8

// TestByteSplitsAreAnsweredAsByPlainNetHTTP: whatever a client sends on a connection, in whatever pieces, with a handover
// between any two of them, it gets the bytes that plain net/http would have answered.
func TestByteSplitsAreAnsweredAsByPlainNetHTTP(t *testing.T) {
	t.Parallel()
	cases := count.Of(30, 300)
	settings := []string{"", "H2C=1"} // with unencrypted HTTP/2 net/http looks at the first bytes before it parses them
	for name, value := range map[string]string{
		"rapid.checks": strconv.Itoa(cases / len(settings)), "rapid.shrinktime": "10s", "rapid.nofailfile": "true",
	} {
		if err := flag.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	for _, setting := range settings {
		t.Run("service "+setting, func(t *testing.T) {
			t.Parallel()
			s := start(t, setting)
			reference := plain(t, setting != "")
			var clients, split int
			rapid.Check(t, func(rt *rapid.T) {
				scripts := rapid.SliceOfN(rapid.Custom(drawScript), clientsPerUpgrade, clientsPerUpgrade).Draw(rt, "clients")
				answers := s.playThroughUpgrade(rt, scripts)
				for i, script := range scripts {
					clients++
					if script.switchAt >= 0 {
						split++
					}
					want, err := script.play(t.Context(), reference, nil)
					if err != nil {
						rt.Fatalf("plain net/http: %v", err)
					}
					if got, want := mask(answers[i]), mask(want); got != want {
						rt.Fatalf("client %d %v: %s", i, script, difference(got, want))
					}
				}
			})
			t.Logf("%d connections, %d with an upgrade between two of their bytes", clients, split)
			if 3*split < clients {
				t.Errorf("%d connections of %d had an upgrade between two of their bytes; want a third at least", split, clients)
			}
		})
	}
}

// plain serves what the service does, without handover.
func plain(t *testing.T, h2c bool) (address string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: Handler(func() int { return 0 })}
	if h2c {
		srv.Protocols = new(http.Protocols)
		srv.Protocols.SetHTTP1(true)
		srv.Protocols.SetUnencryptedHTTP2(true)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		srv.Serve(ln)
	}()
	t.Cleanup(func() {
		srv.Close()
		<-served
	})
	return ln.Addr().String()
}

var perProcess = regexp.MustCompile(`(?m)^(Date|` + processHeader + `): [^\r\n]*`)

// mask takes out what may differ.
func mask(answers []byte) string { return perProcess.ReplaceAllString(string(answers), "$1: *") }

// difference shows where two transcripts part.
func difference(got, want string) string {
	same := 0
	for same < min(len(got), len(want)) && got[same] == want[same] {
		same++
	}
	from := max(0, same-100)
	part := func(s string) string { return s[from:min(len(s), same+100)] }
	return fmt.Sprintf("%d bytes of answer; after %d bytes %q; plain net/http: %d bytes, %q", len(got), same, part(got), len(want), part(want))
}

// TestHalfAHeadBehindARequestStaysWithItsProcess: the half came in one piece with the request before and ends with a line,
// so that net/http has parsed all it has read, and offers its whole buffer for the rest.
func TestHalfAHeadBehindARequestStaysWithItsProcess(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.dial()
	first := s.PID()
	c.Send("GET /?id=1 HTTP/1.1\r\nHost: service\r\n\r\nGET /?id=2 HTTP/1.1\r\nHost: service\r\n")
	if _, body := c.Response(); !strings.HasPrefix(body, fmt.Sprintf("1 %d ", first)) {
		t.Fatalf("answered %q; want id 1 of process %d", body, first)
	}
	second := s.Next()
	c.StaysOpen(100 * time.Millisecond)
	c.Send("\r\n")
	if resp, body := c.Response(); !strings.HasPrefix(body, fmt.Sprintf("2 %d ", first)) {
		t.Fatalf("answered %s %q; want id 2 of process %d", resp.Status, body, first)
	}
	s.follows(c, second)
}

// TestEmptyLineAfterAPostIsForgivenAcrossMigration: net/http has patience with an empty line before a request that follows a
// POST (RFC 9112, section 2.2), and the process that is given the connection has seen no POST.
func TestEmptyLineAfterAPostIsForgivenAcrossMigration(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.dial()
	first := s.PID()
	c.Send("POST /upload?id=1 HTTP/1.1\r\nHost: service\r\nContent-Length: 4\r\n\r\nbody")
	if _, body := c.Response(); !strings.HasPrefix(body, fmt.Sprintf("1 %d ", first)) {
		t.Fatalf("answered %q; want id 1 of process %d", body, first)
	}
	second := s.Replaced()
	c.Send("\r\n")
	c.StaysOpen(100 * time.Millisecond)
	c.IsOf(second)
}

// playThroughUpgrade plays all scripts at the same time, and upgrades the service once all that wait for it do.
func (s *service) playThroughUpgrade(t *rapid.T, scripts []script) [][]byte {
	ctx, cancel := context.WithTimeout(s.Ctx, patience)
	defer cancel()
	var waiting, playing sync.WaitGroup
	reached := make([]chan struct{}, len(moments))
	lines := make([]*handovertest.Watch, len(moments))
	for i, line := range moments {
		reached[i], lines[i] = make(chan struct{}), s.WatchFor(line)
		defer lines[i].Forget()
	}
	answers, errs := make([][]byte, len(scripts)), make([]error, len(scripts))
	for i, script := range scripts {
		var once sync.Once
		arrive := func() {}
		if script.switchAt >= 0 {
			waiting.Add(1)
			arrive = func() { once.Do(waiting.Done) }
		}
		playing.Go(func() {
			defer arrive()
			answers[i], errs[i] = script.play(ctx, s.address, func(moment int) error {
				arrive()
				select {
				case <-reached[moment]:
					return nil
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			})
		})
	}
	waiting.Wait()
	var failed atomic.Pointer[error]
	s.Signal(s.PID(), sigUpgrade)
	for i, line := range lines {
		if _, err := line.Line(ctx); err != nil {
			err = fmt.Errorf("the upgrade does not come to %s: %w", moments[i], err)
			failed.CompareAndSwap(nil, &err)
			cancel()
		}
		close(reached[i])
	}
	playing.Wait()
	if err := failed.Load(); err != nil {
		t.Fatal(*err)
	}
	for i, err := range errs {
		if err != nil {
			t.Fatalf("client %d %v: %v; it was answered %.500q", i, scripts[i], err, mask(answers[i]))
		}
	}
	return answers
}
