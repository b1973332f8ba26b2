// Package client is a client of HTTP/1.1 that is one connection, and says and hears what a test wants at the moment it wants.
package client

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Conn is one connection, used by one goroutine.
type Conn struct {
	t        testing.TB
	patience time.Duration
	net.Conn
	*bufio.Reader
}

// Dial connects. Everything on the connection has to be done within patience.
func Dial(t testing.TB, address string, patience time.Duration) *Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &Conn{t, patience, c, bufio.NewReader(c)}
}

// Read reads what Answer has left.
func (c *Conn) Read(p []byte) (int, error) { return c.Reader.Read(p) }

// Ask sends a request without a body.
func (c *Conn) Ask(path string) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c.Conn, "GET %s HTTP/1.1\r\nHost: service\r\n\r\n", path); err != nil {
		c.t.Fatalf("ask %s: %v", path, err)
	}
}

// Answer reads one whole answer, which must be good.
func (c *Conn) Answer() string {
	c.t.Helper()
	resp, err := http.ReadResponse(c.Reader, nil)
	if err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		c.t.Fatalf("answer %s: %q, %v", resp.Status, body, err)
	}
	return string(body)
}

// AnswerBy reads one answer of handovertest's handler, by that process.
func (c *Conn) AnswerBy(pid int) {
	c.t.Helper()
	if body := c.Answer(); len(strings.Fields(body)) < 2 || strings.Fields(body)[1] != strconv.Itoa(pid) {
		c.t.Errorf("answer %q, want one by process %d", body, pid)
	}
}

// StaysOpen watches the connection for that time: nothing comes, and it does not end.
func (c *Conn) StaysOpen(d time.Duration) {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(d))
	if b, err := c.Peek(1); !os.IsTimeout(err) {
		c.t.Fatalf("the connection did not stay as it was for %s: %q, %v", d, b, err)
	}
	c.SetReadDeadline(time.Now().Add(c.patience))
}

// IsAskedToLeave asks once more: the process answers, with "Connection: close".
func (c *Conn) IsAskedToLeave(pid int) {
	c.t.Helper()
	c.Ask("/?id=last")
	resp, err := http.ReadResponse(c.Reader, nil)
	if err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || !strings.HasPrefix(string(body), "last "+strconv.Itoa(pid)+" ") {
		c.t.Fatalf("answer %q, %v; want one by process %d", body, err, pid)
	}
	if !resp.Close {
		c.t.Error("the client is not asked to leave, and there is nobody to follow to")
	}
}
