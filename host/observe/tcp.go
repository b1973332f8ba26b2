package observe

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/handover-go/handover/host/judge"
)

// TCP connects, and may say something and wait for an answer. It works for unix stream sockets too.
type TCP struct {
	Name string
	Where
	Send    string        // what is written. Default: nothing
	Expect  string        // what the first 4 KiB that come must contain. Default: nothing is read
	Timeout time.Duration // for all of it. Default 5 s
}

// Validate returns what is wrong with the check, or nil.
func (c TCP) Validate() error {
	var long error
	if len(c.Expect) > maxDetail {
		long = fmt.Errorf("Expect: %d bytes: want no more than %d", len(c.Expect), maxDetail)
	}
	return named(c.Name, c.Timeout, c.Where.validate(), long)
}

// Run connects once.
func (c TCP) Run(ctx context.Context) judge.Check { return measure(ctx, c.Name, c.Timeout, c.ask) }

func (c TCP) ask(ctx context.Context) (string, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := io.WriteString(conn, c.Send); err != nil {
		return "", fmt.Errorf("send to %s: %w", c.Address, err)
	}
	if c.Expect == "" {
		return "connected to " + c.Address, nil
	}
	heard := make([]byte, 0, maxDetail)
	for !bytes.Contains(heard, []byte(c.Expect)) {
		if len(heard) == cap(heard) {
			return "", fmt.Errorf("want %q of %s, heard %d bytes of something else", c.Expect, c.Address, len(heard))
		}
		n, err := conn.Read(heard[len(heard):cap(heard)])
		heard = heard[:len(heard)+n]
		if n == 0 && err != nil {
			return "", fmt.Errorf("want %q of %s, heard %q: %w", c.Expect, c.Address, heard, err)
		}
	}
	return fmt.Sprintf("%s said %q", c.Address, c.Expect), nil
}
