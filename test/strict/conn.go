package strict

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// operation bounds a dial, a write, and the wait for an answer.
const operation = 20 * time.Second

// errClosed says that the server has closed, or reset, a connection while it was idle.
var errClosed = errors.New("closed by the server while idle")

// conn is a client's connection.
type conn struct {
	tcp      *net.TCPConn
	reader   *bufio.Reader
	opened   time.Time
	used     time.Time // when the last byte went over it
	answered int
	pid      int // who answered last; 0: nobody yet
}

func dial(address string) (*conn, error) {
	c, err := (&net.Dialer{Timeout: operation, KeepAlive: -1}).Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &conn{tcp: c.(*net.TCPConn), reader: bufio.NewReader(c), opened: now, used: now}, nil
}

// peek looks, without taking anything, for what has come on an idle connection. It returns errClosed for a FIN or RST, and
// another error for bytes, which nobody has asked for.
func (c *conn) peek() error {
	if n := c.reader.Buffered(); n > 0 {
		return fmt.Errorf("%d bytes after the answer", n)
	}
	raw, err := c.tcp.SyscallConn()
	if err != nil {
		return err
	}
	var n int
	var received error
	err = raw.Control(func(fd uintptr) {
		n, _, received = unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
	})
	switch {
	case err != nil:
		return err
	case errors.Is(received, unix.EAGAIN):
		return nil
	case received == nil && n == 0, errors.Is(received, unix.ECONNRESET):
		return errClosed
	case received != nil:
		return fmt.Errorf("peek: %w", received)
	default:
		return errors.New("bytes came that nobody asked for")
	}
}

func (c *conn) write(p []byte) error {
	if err := c.tcp.SetWriteDeadline(time.Now().Add(operation)); err != nil {
		return err
	}
	_, err := c.tcp.Write(p)
	c.used = time.Now()
	return err
}

func (c *conn) read() (answer, error) {
	if err := c.tcp.SetReadDeadline(time.Now().Add(operation)); err != nil {
		return answer{}, err
	}
	a, err := readAnswer(c.reader)
	c.used = time.Now()
	return a, err
}

// String is what helps to find the connection in other records.
func (c *conn) String() string {
	return fmt.Sprintf("connection from %s, open for %s, untouched for %s, %d answers, the last of process %d", c.tcp.LocalAddr(),
		time.Since(c.opened).Round(time.Millisecond), time.Since(c.used).Round(time.Millisecond), c.answered, c.pid)
}
