//go:build debian

package livetls

import (
	"context"
	"fmt"
	"net/http"
)

// python has a line of its input be a question: it asks on its one HTTPSConnection.
func (s *service) python(ctx context.Context, c *client) error {
	p, err := launch(ctx, "/usr/bin/python3", "testdata/client.py", s.Secure, s.Roots, upload)
	if err != nil {
		return err
	}
	for q, more := c.next(); more && err == nil; q, more = c.next() {
		if _, err = fmt.Fprintln(p.in, q.method, q.path); err != nil {
			break
		}
		err = c.hearPython(p)
	}
	return p.leave(err)
}

// hearPython reads an answer, and what the program says of it.
func (c *client) hearPython(p *program) error {
	if err := c.hear(p.out); err != nil {
		return err
	}
	var of own
	var status int
	if _, err := fmt.Fscanf(p.out, "%d %d %d\n", &of.opened, &of.port, &status); err != nil || status != http.StatusOK {
		return fmt.Errorf("read what Python says, status %d: %w", status, err)
	}
	return c.agree(of)
}
