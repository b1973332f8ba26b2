package keeper

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// client is one connection.
type client struct {
	t *testing.T
	net.Conn
	*bufio.Reader
}

func (r *run) dial() *client {
	r.t.Helper()
	c, err := net.Dial("tcp", r.address)
	must(r.t, err)
	r.t.Cleanup(func() { c.Close() })
	must(r.t, c.SetDeadline(time.Now().Add(patience)))
	return &client{r.t, c, bufio.NewReader(c)}
}

func (c *client) ask(path string) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c.Conn, "GET %s HTTP/1.1\r\nHost: service\r\n\r\n", path); err != nil {
		c.t.Fatalf("ask %s: %v", path, err)
	}
}

// answer reads one whole answer.
func (c *client) answer() string {
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

// answerBy reads one answer of Handler, by that process.
func (c *client) answerBy(pid int) {
	c.t.Helper()
	if body := c.answer(); len(strings.Fields(body)) < 2 || strings.Fields(body)[1] != strconv.Itoa(pid) {
		c.t.Errorf("answer %q, want one by process %d", body, pid)
	}
}

// get asks on a connection of its own.
func (r *run) get(path string) string {
	r.t.Helper()
	c := r.dial()
	defer c.Close()
	c.ask(path)
	return c.answer()
}
