//go:build linux

package traffic

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
)

// patience bounds every wait: none comes near it unless something is lost.
const patience = 20 * time.Second

// service is the service under test.
type service struct {
	*handovertest.Running
	t       *testing.T
	address string
	timeout context.Context // of the whole test
}

// start starts the service. What env says comes last, and so holds.
func start(t *testing.T, env ...string) *service {
	t.Helper()
	return startAt(t, handovertest.FreeAddress(t), "", env...)
}

// startAt starts the service at address, and at more addresses that nobody is asked at for the process that serves.
func startAt(t *testing.T, address, more string, env ...string) *service {
	t.Helper()
	return startBuild(t, handovertest.Build(t, "../service"), "tcp", address, append([]string{"ADDR=" + address + more}, env...)...)
}

// startBuild starts that build of it, at an address of that network.
func startBuild(t *testing.T, executable, network, address string, env ...string) *service {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	running := handovertest.Start(t, handovertest.Service{
		Path: executable, Address: address, Network: network,
		Env: append([]string{
			"ADDR=" + address, "HANDOVER_PROBATION=20ms", "HANDOVER_DRAIN_TIMEOUT=1m",
			// A program with the race detector rests for a second after its end, while its other threads go on.
			"GORACE=atexit_sleep_ms=0",
		}, env...),
	})
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(running.Output(100))
		}
	})
	return &service{running, t, address, ctx}
}

// upgrade returns the process that serves afterwards, as the one before begins to leave.
func (s *service) upgrade() (pid int) {
	s.t.Helper()
	left := s.watch(`msg="handover final"`)
	s.Upgrade(1)
	s.line(left, "the generation before does not leave")
	return s.PID()
}

// watch waits for a line of output with every one of these words.
func (s *service) watch(words ...string) *handovertest.Watch {
	return s.Watch(func(line string) bool {
		for _, word := range words {
			if !strings.Contains(line, word) {
				return false
			}
		}
		return true
	})
}

func (s *service) line(w *handovertest.Watch, what string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.timeout, patience)
	defer cancel()
	line, err := w.Line(ctx)
	if err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
	return line
}

// lives reports whether that process of the service has not ended.
func (s *service) lives(pid int) bool {
	s.t.Helper()
	for _, p := range s.Family() {
		if p.PID == pid && p.State != "Z" {
			return true
		}
	}
	return false
}

// client is one connection, used by one goroutine.
type client struct {
	t testing.TB
	net.Conn
	*bufio.Reader
}

func (s *service) dial() *client {
	s.t.Helper()
	c, err := net.Dial("tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	return newClient(s.t, c)
}

func newClient(t testing.TB, c net.Conn) *client {
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return &client{t, c, bufio.NewReader(c)}
}

func (c *client) Read(p []byte) (int, error) { return c.Reader.Read(p) }

func (c *client) send(format string, args ...any) {
	c.t.Helper()
	c.SetWriteDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintf(c.Conn, format, args...); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

func (c *client) get(path string) {
	c.t.Helper()
	c.send("GET %s HTTP/1.1\r\nHost: service\r\n\r\n", path)
}

// head reads the head of an answer.
func (c *client) head() *http.Response {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	resp, err := http.ReadResponse(c.Reader, nil)
	if err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	return resp
}

// answer reads one whole answer.
func (c *client) answer() (*http.Response, string) {
	c.t.Helper()
	resp := c.head()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("half an answer %q: %v", body, err)
	}
	return resp, string(body)
}

// answering asks on this connection who answers.
func (c *client) answering() (pid int) {
	c.t.Helper()
	c.get("/?id=who")
	_, body := c.answer()
	if words := strings.Fields(body); len(words) == 3 && words[0] == "who" {
		pid, _ = strconv.Atoi(words[1])
	}
	if pid == 0 {
		c.t.Fatalf("answer %q: does not say who", body)
	}
	return pid
}

func (c *client) answeredBy(pid int) {
	c.t.Helper()
	if by := c.answering(); by != pid {
		c.t.Fatalf("answered by process %d; want %d", by, pid)
	}
}

// staysOpen watches the connection for that time: nothing comes, and it does not end.
func (c *client) staysOpen(d time.Duration) {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(d))
	b, err := c.Peek(1)
	if netErr := net.Error(nil); !errors.As(err, &netErr) || !netErr.Timeout() {
		c.t.Fatalf("the connection did not stay as it was for %s: %q, %v", d, b, err)
	}
	c.SetReadDeadline(time.Now().Add(patience))
}

// ended waits until the server closes the connection, and returns what it has sent before.
func (c *client) ended() (rest string, at time.Time) {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	b, err := io.ReadAll(c.Reader)
	if netErr := net.Error(nil); errors.As(err, &netErr) && netErr.Timeout() {
		c.t.Fatalf("the connection was never closed; it brought %q", b)
	}
	return string(b), time.Now()
}

// between fails the test if what began at an instant took less or more time.
func between(t testing.TB, what string, took, least, most time.Duration) {
	t.Helper()
	t.Logf("%s after %s", what, took)
	if took < least || took > most {
		t.Errorf("%s after %s; want %s to %s", what, took, least, most)
	}
}

const (
	sigUpgrade = syscall.SIGUSR2
	sigEnd     = syscall.SIGTERM
)
