package handovertest_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
)

// A defect is a server that answers some questions well, and then shows what
// it has. Each has to be seen, as what it is and as nothing else.
func TestEachDefectIsSeenAsWhatItIs(t *testing.T) {
	type counts = map[handovertest.Outcome]int
	keepAlive := handovertest.Clients{KeepAlive: 1}
	idle := handovertest.Clients{Idle: 1} // asks once, and then watches for seconds: nothing races with its next request
	for name, defect := range map[string]struct {
		clients handovertest.Clients
		serve   func(*served)
		want    counts
		reason  string
	}{
		"closes an idle connection": {
			idle, func(s *served) { s.answer(s.next()) },
			counts{"closed": 1}, "idle connection closed by the service",
		},
		"resets an idle connection": {
			idle, func(s *served) { s.answer(s.next()); s.SetLinger(0) },
			counts{"closed": 1}, "reset",
		},
		"closes a connection on which nothing was said": {
			handovertest.Clients{Silent: 1}, func(*served) {},
			counts{"closed": 1}, "idle connection closed by the service",
		},
		"closes instead of answering": {
			keepAlive, func(s *served) { s.next() },
			counts{"failed": 1}, "closed by the service: waiting for the answer",
		},
		"closes in the middle of a head": {
			keepAlive, func(s *served) { s.next(); io.WriteString(s, "HTTP/1.1 200 OK\r\nContent-Le") },
			counts{"failed": 1}, "closed by the service: reading the head",
		},
		"closes in the middle of a body": {
			keepAlive, func(s *served) { s.next(); io.WriteString(s, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf") },
			counts{"failed": 1}, "closed by the service: reading the body",
		},
		"resets in the middle of a body": {
			keepAlive, func(s *served) {
				s.next()
				io.WriteString(s, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf")
				s.SetLinger(0)
			},
			counts{"failed": 1}, "reset",
		},
		"never answers": {
			keepAlive, func(s *served) { s.next(); s.next() },
			counts{"failed": 1}, "timeout",
		},
		"answers with an error": {
			keepAlive, func(s *served) {
				s.next()
				io.WriteString(s, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
				s.next()
			},
			counts{"failed": 1}, "status 503",
		},
		"answers another request": {
			keepAlive, func(s *served) { s.next(); s.answer("another"); s.next() },
			counts{"wrong": 1}, `the answer is to "another"`,
		},
		"answers something else": {
			keepAlive, func(s *served) {
				s.next()
				io.WriteString(s, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
				s.next()
			},
			counts{"wrong": 1}, "not a line of this handler",
		},
		"speaks another protocol": {
			keepAlive, func(s *served) { s.next(); io.WriteString(s, "SSH-2.0-OpenSSH_9.9\r\n"); s.next() },
			counts{"wrong": 1}, "malformed",
		},
		"answers twice at once": {
			keepAlive, func(s *served) { id := s.next(); io.WriteString(s, answerTo(id)+answerTo(id)); s.next() },
			counts{"repeated": 1}, "nobody asked for",
		},
		"answers again later": {
			idle, func(s *served) {
				id := s.next()
				s.answer(id)
				<-time.After(5 * time.Millisecond)
				s.answer(id)
				s.next()
			},
			counts{"repeated": 1}, "nobody asked for",
		},
		"answers the next request with the answer before": {
			keepAlive, func(s *served) { id := s.next(); s.answer(id); s.next(); s.answer(id); s.next() },
			counts{"repeated": 1}, "came again instead",
		},
		"closes politely": {
			keepAlive, func(s *served) {
				io.WriteString(s, strings.Replace(answerTo(s.next()), "\r\n", "\r\nConnection: close\r\n", 1))
			},
			counts{"closed_polite": 1}, "Connection: close",
		},
		"drops what is pipelined behind a request": {
			handovertest.Clients{Pipelined: 1}, func(s *served) { s.answer(s.next()); s.next(); s.next(); s.next() },
			counts{"failed": 3}, "",
		},
		"closes politely with requests pipelined": {
			handovertest.Clients{Pipelined: 1}, func(s *served) {
				first := s.next()
				s.next()
				s.next()
				s.next()
				io.WriteString(s, strings.Replace(answerTo(first), "\r\n", "\r\nConnection: close\r\n", 1))
			},
			counts{"closed_polite": 1, "failed": 3}, "",
		},
		"mixes up what is pipelined": {
			handovertest.Clients{Pipelined: 1}, func(s *served) {
				a, b := s.next(), s.next()
				s.answer(b)
				s.answer(a)
				s.next()
				s.next()
			},
			counts{"wrong": 2, "failed": 2}, "",
		},
		"answers twice to a new connection": {
			handovertest.Clients{New: 1}, func(s *served) { id := s.next(); io.WriteString(s, answerTo(id)+answerTo(id)); s.next() },
			counts{"repeated": 1}, "nobody asked for",
		},
		"does not say 100": {
			handovertest.Clients{Continue: 1}, func(s *served) { s.answer(s.next()); s.next() },
			counts{"wrong": 1}, "instead of 100",
		},
		"loses the body": {
			handovertest.Clients{Upload: 1}, func(s *served) { s.answer(s.next()); io.Copy(io.Discard, s) },
			counts{"wrong": 1}, "the body arrived as",
		},
		"ends a stream early": {
			handovertest.Clients{Stream: 1}, func(s *served) { s.answer(s.next()); s.next() },
			counts{"failed": 1}, "reading line 0 of the stream",
		},
		"loses a line of a stream": {
			handovertest.Clients{Stream: 1}, func(s *served) {
				id := s.next()
				body := fmt.Sprintf("%s 1 0\n0 %s\n2 %s\n", id, id, id)
				fmt.Fprintf(s, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
				s.next()
			},
			counts{"wrong": 1}, "line 1 of the stream",
		},
		"resets a head that dribbles in": {
			handovertest.Clients{Dribble: 1}, func(s *served) { s.Read(make([]byte, 5)); s.SetLinger(0) },
			counts{"failed": 1}, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			patience := 30 * time.Second
			if defect.reason == "timeout" {
				patience = time.Second
			}
			got := driveOnce(t, defect.clients, patience, defect.serve)
			seen := counts{
				"failed": got.Failed, "refused": got.Refused, "wrong": got.Wrong, "repeated": got.Repeated,
				"closed": got.Closed, "closed_polite": got.ClosedPolite, "lost_in_crash": got.LostInCrash, "own_fault": got.OwnFaults,
			}
			for outcome, n := range seen {
				if n != defect.want[outcome] {
					t.Errorf("%d %s, want %d", n, outcome, defect.want[outcome])
				}
			}
			if len(got.Losses) == 0 || !strings.Contains(got.Losses[0].Reason, defect.reason) {
				t.Errorf("want the reason %q", defect.reason)
			}
			if t.Failed() {
				t.Log(got)
			}
		})
	}
}

func TestListenerThatIsGoneRefuses(t *testing.T) {
	server := newServer(t, "tcp", handovertest.Handler())
	driver, err := handovertest.Drive(t.Context(), handovertest.Load{Address: server.address, Clients: handovertest.Clients{New: 2}})
	if err != nil {
		t.Fatal(err)
	}
	server.close()
	// A connection that was open is lost first, maybe; the next ones are refused.
	seen := awaitReport(t, driver, func(r handovertest.Report) bool { return r.Refused > 0 })
	driver.Stop()
	if seen.Lost() == 0 {
		t.Errorf("refused, and not lost: %s", seen)
	}
}

func TestDriveReportsAServiceThatNeverAnswered(t *testing.T) {
	_, err := handovertest.Drive(t.Context(), handovertest.Load{
		Address: handovertest.FreeAddress(t), Clients: handovertest.Clients{KeepAlive: 1},
	})
	var start *handovertest.StartError
	if !errors.As(err, &start) || start.Report.Refused == 0 {
		t.Errorf("error %v, want a StartError with something refused", err)
	}
}

// driveOnce drives a server whose first connection has the defect, and whose
// others are served well, until the client has been there.
func driveOnce(t *testing.T, clients handovertest.Clients, patience time.Duration, defect func(*served)) handovertest.Report {
	good := newServer(t, "tcp", handovertest.Handler())
	ln := newFront(t, good.address, defect)
	driver, err := handovertest.Drive(t.Context(), handovertest.Load{
		Address: ln.Addr().String(), Clients: clients, Timeout: patience,
		Think: [2]time.Duration{20 * time.Millisecond, 30 * time.Millisecond},
		Span:  [2]time.Duration{20 * time.Millisecond, 30 * time.Millisecond},
	})
	var start *handovertest.StartError
	if errors.As(err, &start) {
		return start.Report
	} else if err != nil {
		t.Fatal(err)
	}
	awaitLoss(t, driver)
	return driver.Stop()
}

// awaitLoss waits until something else than good answers was seen.
func awaitLoss(t *testing.T, driver *handovertest.Driver) handovertest.Report {
	t.Helper()
	return awaitReport(t, driver, func(r handovertest.Report) bool { return len(r.Losses) > 0 })
}

func awaitReport(t *testing.T, driver *handovertest.Driver, wanted func(handovertest.Report) bool) handovertest.Report {
	t.Helper()
	for tick := time.Tick(2 * time.Millisecond); ; {
		select {
		case <-tick:
			if r := driver.Snapshot(); wanted(r) {
				return r
			}
		case <-t.Context().Done():
			t.Fatalf("not seen: %s", driver.Stop())
		}
	}
}

// newFront serves the first connection by the defect, and passes the others on.
func newFront(t *testing.T, backend string, defect func(*served)) net.Listener {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(func() { ln.Close(); serving.Wait() })
	serving.Go(func() {
		for first := true; ; first = false {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				if first {
					defect(&served{conn.(*net.TCPConn), bufio.NewReader(conn)})
					return
				}
				pass(conn, backend)
			})
		}
	})
	return ln
}

func pass(conn net.Conn, backend string) {
	other, err := net.Dial("tcp", backend)
	if err != nil {
		return
	}
	defer other.Close()
	var copying sync.WaitGroup
	copying.Go(func() { io.Copy(other, conn); other.Close() })
	io.Copy(conn, other)
	conn.Close()
	copying.Wait()
}

// served is a connection to a server with a defect.
type served struct {
	*net.TCPConn
	reader *bufio.Reader
}

// next returns the id of the next request, without its body; "" at the end.
func (s *served) next() string {
	r, err := http.ReadRequest(s.reader)
	if err != nil {
		return ""
	}
	return r.URL.Query().Get("id")
}

func (s *served) answer(id string) { io.WriteString(s, answerTo(id)) }

func answerTo(id string) string {
	line := id + " 1 0\n"
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(line), line)
}
