// Package client is a client of HTTP/1.1 that is one connection, and says and hears what a test wants at the moment it wants.
package client

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Conn is one connection, used by one goroutine. All that is said or heard on it has to be done within its patience.
type Conn struct {
	T        testing.TB // is told what goes wrong
	patience time.Duration
	net.Conn
	*bufio.Reader
}

// Dial connects.
func Dial(t testing.TB, address string, patience time.Duration) *Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		t.Fatal(err)
	}
	return New(t, c, patience)
}

// DialTLS connects, and shakes hands.
func DialTLS(t testing.TB, address string, config *tls.Config, patience time.Duration) *Conn {
	t.Helper()
	c, err := Handshake(t, Dial(t, address, patience).Conn, config, patience)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Get asks on a connection of its own, and returns the answer, which must be good.
func Get(t testing.TB, address, path string, patience time.Duration) string {
	t.Helper()
	c := Dial(t, address, patience)
	defer c.Close()
	c.Ask(path)
	return c.Answer()
}

// Hold connects, and has a handler wait for the body of a request, which is "body": its head is answered by 100, so it has begun.
func Hold(t testing.TB, address string, patience time.Duration) *Conn {
	t.Helper()
	c := Dial(t, address, patience)
	c.Send("POST /upload?id=held HTTP/1.1\r\nHost: service\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
	if begun := c.Head(); begun.StatusCode != http.StatusContinue {
		t.Fatalf("answer %q to a request that waits with its body", begun.Status)
	}
	return c
}

// New makes one of a connection that there is, and closes it at the end of the test.
func New(t testing.TB, c net.Conn, patience time.Duration) *Conn {
	t.Helper()
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &Conn{t, patience, c, bufio.NewReader(c)}
}

// Handshake makes one that speaks TLS on a connection on which nothing was said yet. By default the certificate is to be for its address.
func Handshake(t testing.TB, c net.Conn, config *tls.Config, patience time.Duration) (*Conn, error) {
	t.Helper()
	if config.ServerName == "" {
		config = config.Clone()
		config.ServerName, _, _ = net.SplitHostPort(c.RemoteAddr().String())
	}
	over := tls.Client(c, config)
	conn := New(t, over, patience)
	return conn, over.HandshakeContext(t.Context())
}

// ConnectionState is what was agreed on in the handshake of a connection over TLS.
func (c *Conn) ConnectionState() tls.ConnectionState { return c.Conn.(*tls.Conn).ConnectionState() }

// Read implements io.Reader for what has come, and for what Head has left of an answer.
func (c *Conn) Read(p []byte) (int, error) { return c.Reader.Read(p) }

// Write implements io.Writer. However old the connection is, each write has all the patience.
func (c *Conn) Write(p []byte) (int, error) {
	c.SetWriteDeadline(time.Now().Add(c.patience))
	return c.Conn.Write(p)
}

// Send sends bytes, whatever they say.
func (c *Conn) Send(format string, args ...any) {
	c.T.Helper()
	if _, err := fmt.Fprintf(c, format, args...); err != nil {
		c.T.Fatalf("send: %v", err)
	}
}

// Request is one without a body.
func Request(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: service\r\n\r\n" }

// Ask sends a request without a body.
func (c *Conn) Ask(path string) {
	c.T.Helper()
	c.Send("%s", Request(path))
}

// Head reads the head of an answer.
func (c *Conn) Head() *http.Response {
	c.T.Helper()
	c.Hearing()
	resp, err := http.ReadResponse(c.Reader, nil)
	if err != nil {
		c.T.Fatalf("no answer: %v", err)
	}
	return resp
}

// Hearing has what is read next come within patience from now.
func (c *Conn) Hearing() { c.SetReadDeadline(time.Now().Add(c.patience)) }

// Response reads one whole answer, whatever it says.
func (c *Conn) Response() (*http.Response, string) {
	c.T.Helper()
	resp := c.Head()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.T.Fatalf("half an answer %q: %v", body, err)
	}
	return resp, string(body)
}

// Answer reads one whole answer, which must be good.
func (c *Conn) Answer() string {
	c.T.Helper()
	resp, body := c.Response()
	if resp.StatusCode != http.StatusOK {
		c.T.Fatalf("answer %s: %q", resp.Status, body)
	}
	return body
}

// AnswerBy reads one answer of handovertest's handler, by that process.
func (c *Conn) AnswerBy(pid int) {
	c.T.Helper()
	if body := c.Answer(); len(strings.Fields(body)) < 2 || strings.Fields(body)[1] != strconv.Itoa(pid) {
		c.T.Errorf("answer %q, want one by process %d", body, pid)
	}
}

// AnswerTo reads the answer to the request of that id by that process.
func (c *Conn) AnswerTo(id string, pid int) *http.Response {
	c.T.Helper()
	resp, body := c.Response()
	if want := fmt.Sprintf("%s %d ", id, pid); resp.StatusCode != http.StatusOK || !strings.HasPrefix(body, want) {
		c.T.Fatalf("answered %s %q; want %q", resp.Status, body, want)
	}
	return resp
}

// Who asks who answers.
func (c *Conn) Who() (pid int) {
	c.T.Helper()
	c.Ask("/?id=who")
	_, body := c.Response()
	if words := strings.Fields(body); len(words) == 3 && words[0] == "who" {
		pid, _ = strconv.Atoi(words[1])
	}
	if pid == 0 {
		c.T.Fatalf("answer %q: does not say who", body)
	}
	return pid
}

// IsOf asks who answers: that process, and the connection goes on.
func (c *Conn) IsOf(pid int) {
	c.T.Helper()
	c.Ask("/?id=who")
	if c.AnswerTo("who", pid).Close {
		c.T.Fatal("the client is asked to leave")
	}
}

// AskOrEnd asks, and reads one whole answer, which must be good, or finds that the other side has ended the connection: anything else,
// silence until the deadline above all, is an error.
func (c *Conn) AskOrEnd(path string) (answer string, ended bool) {
	c.T.Helper()
	c.SetDeadline(time.Now().Add(c.patience))
	_, err := io.WriteString(c.Conn, Request(path))
	var body []byte
	var resp *http.Response
	if err == nil {
		resp, err = http.ReadResponse(c.Reader, nil)
	}
	if err == nil {
		defer resp.Body.Close()
		body, err = io.ReadAll(resp.Body)
	}
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, end) {
			return "", true
		}
	}
	if err != nil || resp.StatusCode != http.StatusOK {
		c.T.Errorf("ask %s: %q, %v", path, body, err)
	}
	return string(body), false
}

// StaysOpen watches the connection for that time: nothing comes, and it does not end.
func (c *Conn) StaysOpen(d time.Duration) {
	c.T.Helper()
	c.SetReadDeadline(time.Now().Add(d))
	if b, err := c.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
		c.T.Fatalf("the connection did not stay as it was for %s: %q, %v", d, b, err)
	}
	c.Hearing()
}

// Ended waits until the other side closes the connection, and returns what it has sent before.
func (c *Conn) Ended() (rest string, at time.Time) {
	c.T.Helper()
	c.Hearing()
	b, err := io.ReadAll(c.Reader)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.T.Fatalf("the connection was never closed; it brought %q", b)
	}
	return string(b), time.Now()
}

// IsAskedToLeave asks once more: the process answers, with "Connection: close", and closes.
func (c *Conn) IsAskedToLeave(pid int) {
	c.T.Helper()
	c.Ask("/?id=last")
	if !c.AnswerTo("last", pid).Close {
		c.T.Fatal("the client is not asked to leave, and there is nobody to follow to")
	}
	if rest, _ := c.Ended(); rest != "" {
		c.T.Errorf("behind the last answer %q", rest)
	}
}
