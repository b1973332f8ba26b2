package record

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
)

func TestClientOfCryptoTLSIsServedThroughTenMoves(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		for _, tickets := range []bool{true, false} {
			h := shake(t, id, func(client, server *tls.Config) {
				client.ClientSessionCache = tls.NewLRUClientSessionCache(1) // it wants tickets
				server.SessionTicketsDisabled = !tickets
			})
			if (h.out.Seq() > 0) != tickets {
				t.Fatalf("the server goes on at number %d", h.out.Seq())
			}
			c := NewConn(h.below, h.in, h.out)
			asking := make(chan error, 1)
			go func() { asking <- ask(h.client) }()
			for move := range 11 {
				if err := echo(c, move); err != nil {
					t.Fatal(err)
				}
				if move < 10 {
					c = moved(t, h.below, detached(t, c))
				}
			}
			if err := <-asking; err != nil {
				t.Fatal(err)
			}
			// Each end has said that it ends.
			if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("the server reads %d, %v", n, err)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if n, err := h.client.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("the client reads %d, %v", n, err)
			}
		}
	})
}

// lengths are those of the lines that a client sends between two moves.
var lengths = []int{1, 100, 4096, maxContent - 1, maxContent, 100_000}

// ask sends lines, and expects each to come back.
func ask(client *tls.Conn) error {
	in := bufio.NewReader(client)
	for move := range 11 {
		for _, length := range lengths {
			line := strings.Repeat(string(rune('a'+move)), length) + "\n"
			if _, err := io.WriteString(client, line); err != nil {
				return err
			}
			if back, err := in.ReadString('\n'); err != nil || back != line {
				return &net.OpError{Op: "echo", Err: err}
			}
		}
	}
	return client.CloseWrite()
}

func echo(c *Conn, move int) error {
	p := make([]byte, []int{100, 4096, 32 << 10}[move%3])
	for _, length := range lengths {
		var line []byte
		for !bytes.HasSuffix(line, []byte("\n")) {
			n, err := c.Read(p)
			if err != nil {
				return err
			}
			line = append(line, p[:n]...)
		}
		if len(line) != length+1 {
			return io.ErrShortBuffer
		}
		if _, err := c.Write(line); err != nil {
			return err
		}
	}
	return nil
}

func TestClientOfCryptoTLSFollowsKeyUpdates(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		h := shake(t, id, nil)
		c := NewConn(h.below, h.in, h.out)
		for range 5 {
			c.out.owes.Store(true)
			if _, err := c.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(h.client, make([]byte, 5)); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := h.client.Read(make([]byte, 1)); err != io.EOF {
			t.Fatal(err)
		}
	})
}

func TestClientOfCryptoTLSUnderstandsTheAlert(t *testing.T) {
	h := shake(t, tls.TLS_AES_128_GCM_SHA256, nil)
	c := NewConn(h.below, h.in, h.out)
	if _, err := h.client.NetConn().Write([]byte{20, 3, 3, 0, 1, 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 600)); !isAlert(err, "local error", alertUnexpectedMessage) {
		t.Fatal(err)
	}
	if _, err := h.client.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "remote error: tls: unexpected message") {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}
