package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// small is the request that everyone asks with of whom nothing else is said.
const small = "GET /?id=scale HTTP/1.1\r\nHost: scale\r\n\r\n"

// client asks on one connection. Where it is asked to leave, it makes another with its next request, as one of net/http does; one that stays
// takes that for a failure.
type client struct {
	address string
	secure  *tls.Config // nil: no TLS
	stays   bool

	conn net.Conn // nil: to be made
	in   *bufio.Reader
	made int // connections
}

// clients are so many that have connected.
func clients(n int, of func() *client) ([]*client, error) {
	all := make([]*client, n)
	for i := range all {
		all[i] = of()
		if err := all[i].connect(); err != nil {
			return all[:i], errors.Join(err, leave(all[:i]))
		}
	}
	return all, nil
}

// leave closes what clients have.
func leave(all []*client) error {
	var errs []error
	for _, c := range all {
		errs = append(errs, c.close())
	}
	return errors.Join(errs...)
}

func (c *client) connect() error {
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		return err
	}
	if c.secure != nil {
		above := tls.Client(conn, c.secure)
		err := conn.SetDeadline(time.Now().Add(patience))
		if err == nil {
			err = above.Handshake()
		}
		if err != nil {
			return errors.Join(err, conn.Close())
		}
		conn = above
	}
	if c.in == nil {
		c.in = bufio.NewReader(conn)
	}
	c.in.Reset(conn)
	c.conn = conn
	c.made++
	return nil
}

// ask sends one request, and reads its answer.
func (c *client) ask(request []byte) error {
	if c.conn == nil {
		if err := c.connect(); err != nil {
			return err
		}
	}
	last, err := exchange(c.conn, c.in, request)
	if err != nil {
		return err
	}
	if last {
		if c.stays {
			return errors.New("asked to leave")
		}
		return c.close()
	}
	return nil
}

func (c *client) close() error {
	if c.conn == nil {
		return nil
	}
	conn := c.conn
	c.conn = nil
	if above, ok := conn.(*tls.Conn); ok {
		conn = above.NetConn() // without a word, to a service that may have gone first
	}
	return conn.Close()
}

// exchange sends one request, and reads its answer. It reports whether that says that the connection ends.
func exchange(c net.Conn, in *bufio.Reader, request []byte) (last bool, err error) {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return false, err
	}
	if _, err := c.Write(request); err != nil {
		return false, err
	}
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return false, err
	}
	if resp.StatusCode != http.StatusOK {
		return false, fmt.Errorf("answered %s", resp.Status)
	}
	return resp.Close, nil
}
