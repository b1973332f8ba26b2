//go:build debian

package livetls

import (
	"bufio"
	"context"
	"fmt"
	"net/http"

	"github.com/handover-go/handover/test/traffic"
)

// renewals are the commands of s_client to renew its own key, and both.
var renewals = []string{"k", "K"}

// openSSL is a run of s_client. Before every second question it renews keys: in each generation it does so in both ways.
func (s *service) openSSL(suite string) *client {
	run := func(ctx context.Context, c *client) error { return s.askOpenSSL(ctx, c, suite) }
	return &client{name: "openssl s_client, " + suite, run: run, want: traffic.Channel{Suite: suite}}
}

func (s *service) askOpenSSL(ctx context.Context, c *client, suite string) error {
	// With -brief it writes nothing between answers but that it has obeyed a command, which goes to stderr.
	p, err := launch(ctx, "sh", "-c", `exec openssl "$@" 2>&1`, "openssl", "s_client", "-brief", "-connect", s.Secure, "-CAfile", s.Roots, "-verify_return_error", "-tls1_3", "-ciphersuites", suite)
	if err != nil {
		return err
	}
	for q, more := c.next(); more && err == nil; q, more = c.next() {
		if c.answered%2 == 1 {
			err = c.renew(p, renewals[c.answered/2%2])
		}
		if err == nil {
			_, err = fmt.Fprintf(p.in, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", q.method, q.path, s.Secure, len(q.body), q.body)
		}
		if err == nil {
			err = c.hearHTTP(p.out)
		}
	}
	return p.leave(err)
}

// renew has s_client renew keys, and returns once it has begun to: it takes a command for one only where it reads nothing else with it.
func (c *client) renew(p *program, command string) error {
	if _, err := fmt.Fprintln(p.in, command); err != nil {
		return err
	}
	if said, err := p.out.ReadString('\n'); said != "KEYUPDATE\n" {
		return fmt.Errorf("s_client says %q to %s: %w", said, command, err)
	}
	return nil
}

// hearHTTP reads an answer of HTTP. Before the first stands what s_client says of the handshake.
func (c *client) hearHTTP(from *bufio.Reader) error {
	for c.answered == 0 {
		if begins, err := from.Peek(len("HTTP/")); err != nil || string(begins) == "HTTP/" {
			break
		}
		if _, err := from.ReadString('\n'); err != nil {
			return err
		}
	}
	answer, err := http.ReadResponse(from, nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	return c.hearBody(answer.StatusCode, answer.Body)
}
