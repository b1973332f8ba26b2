package handovertest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

// fault is an error with the outcome it counts as.
type fault struct {
	outcome Outcome
	reason  string
}

func (f *fault) Error() string { return f.reason }

func faultf(o Outcome, format string, args ...any) error {
	return &fault{o, fmt.Sprintf(format, args...)}
}

// lateness beyond which an expired deadline is put down to the driver: it was
// itself stopped or starved, and the answer may have been there all along.
const lateness = time.Second

// conn is one strict connection. Only its client uses it.
type conn struct {
	net.Conn
	raw     syscall.RawConn // nil: bytes on the wire are not the protocol's
	reader  *bufio.Reader
	timeout time.Duration

	local    string
	opened   time.Time // before the dial: the service cannot have accepted earlier
	deadline time.Time
	sent     int    // bytes of the request in hand
	lastID   string // of the answer before
	broken   error  // what the last read ended with
	probe    [1]byte
}

// dial opens a connection and owns it until Close.
func dial(l *Load, local net.Addr) (*conn, error) {
	opened := time.Now()
	dialer := net.Dialer{Timeout: l.Timeout, LocalAddr: local, KeepAlive: -1}
	nc, err := dialer.Dial(l.Network, l.Address)
	if err != nil {
		return nil, dialFault(err)
	}
	c := &conn{Conn: nc, timeout: l.Timeout, opened: opened, local: nc.LocalAddr().String()}
	if l.TLS != nil {
		err = c.secure(l.TLS)
	} else if c.raw, err = nc.(syscall.Conn).SyscallConn(); err != nil {
		err = faultf(OwnFault, "dial: %v", err)
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	c.reader = bufio.NewReader(c)
	return c, nil
}

// secure shakes hands.
func (c *conn) secure(config *tls.Config) error {
	above := tls.Client(c.Conn, config)
	c.arm(c.timeout)
	if err := above.Handshake(); err != nil && c.overslept(err) {
		return faultf(OwnFault, "TLS handshake: %v", err)
	} else if err != nil {
		return faultf(Failed, "TLS handshake: %v", err)
	}
	c.Conn = above
	return nil
}

func dialFault(err error) error {
	switch {
	case isRefused(err), errors.Is(err, os.ErrNotExist):
		// A unix socket's missing path is a listener that is missing.
		return faultf(Refused, "%v", err)
	case errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EADDRINUSE),
		errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return faultf(OwnFault, "%v", err)
	}
	return faultf(Failed, "%v", err)
}

// quiet reports whether the idle connection is open and nothing unasked for
// has come, without consuming anything.
func (c *conn) quiet() error {
	if c.reader.Buffered() > 0 {
		return c.unasked()
	}
	// An expired deadline would hide what there is to see.
	c.SetReadDeadline(time.Time{})
	return c.peek(false)
}

// watch does the same until an instant or the end of ctx, and returns as soon
// as the connection is no longer quiet: so a loss is dated when it happens.
func (c *conn) watch(ctx context.Context, until time.Time) error {
	if err := c.quiet(); err != nil || ctx.Err() != nil || !time.Now().Before(until) {
		return err
	}
	c.SetReadDeadline(until)
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		c.SetReadDeadline(time.Unix(1, 0))
		close(interrupted)
	})
	err := c.peek(true)
	if !stop() {
		<-interrupted
	}
	c.SetReadDeadline(time.Time{})
	return err
}

// taste looks at an idle connection by reading: what it finds is lost, and too much anyway.
func (c *conn) taste(wait bool) error {
	if !wait {
		c.SetReadDeadline(time.Now().Add(time.Millisecond))
		defer c.SetReadDeadline(time.Time{})
	}
	n, err := c.Conn.Read(c.probe[:])
	switch {
	case n > 0:
		return faultf(Repeated, "bytes that nobody asked for, beginning with %q", c.probe[:n])
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil
	}
	return faultf(Closed, "idle connection: %v", err)
}

// begin marks the start of a request.
func (c *conn) begin() { c.sent = 0 }

// write sends b, within the timeout. If not a byte of the request could be
// sent, the connection was closed before it: the fault is Closed.
func (c *conn) write(b []byte) error {
	for len(b) > 0 {
		c.arm(c.timeout)
		n, err := c.Write(b)
		c.sent += n
		b = b[n:]
		if err == nil || c.overslept(err) {
			continue
		}
		if c.sent == 0 && !errors.Is(err, os.ErrDeadlineExceeded) {
			return faultf(Closed, "idle connection: %v", err)
		}
		return c.failure(err, "sending the request")
	}
	return nil
}

// head reads an answer up to its body. The answer, with its body, has to be
// there within the timeout and what the request itself takes by design.
func (c *conn) head(design time.Duration) (*http.Response, error) {
	c.arm(design + c.timeout)
	if _, err := c.reader.Peek(1); err != nil {
		return nil, c.failure(err, "waiting for the answer")
	}
	resp, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return nil, c.failure(err, "reading the head of the answer")
	}
	return resp, nil
}

// answer reads the next final answer with its body.
func (c *conn) answer(design time.Duration) (*http.Response, []byte, error) {
	resp, err := c.head(design)
	for err == nil && resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols {
		resp, err = c.head(design)
	}
	if err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, nil, c.failure(err, "reading the body of the answer")
	}
	return resp, body, nil
}

// Read is for the reader over this connection: an own lateness is forgiven once
// each time the driver wakes up, never a service's.
func (c *conn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if n > 0 || err == nil || !c.overslept(err) {
			c.broken = err
			return n, err
		}
	}
}

func (c *conn) arm(d time.Duration) {
	c.deadline = time.Now().Add(d)
	c.SetDeadline(c.deadline)
}

// overslept re-arms the deadline when it expired while the driver did not run.
func (c *conn) overslept(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(c.deadline) < lateness {
		return false
	}
	c.arm(c.timeout)
	return true
}

func (c *conn) unasked() error {
	b, _ := c.reader.Peek(min(c.reader.Buffered(), 60))
	return faultf(Repeated, "bytes that nobody asked for: %q", bytes.TrimSpace(b))
}

// failure tells a broken connection from a broken answer. A parser may take the
// end of the connection for the end of a malformed line.
func (c *conn) failure(err error, doing string) error {
	var op *net.OpError
	if c.broken != nil && !errors.As(err, &op) {
		err = c.broken
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return faultf(Failed, "timeout: %s", doing)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return faultf(Failed, "closed by the service: %s", doing)
	case errors.As(err, &op):
		return faultf(Failed, "%s: %v", doing, op.Err)
	}
	return faultf(Wrong, "malformed answer: %s: %v", doing, err)
}
