//go:build debian

package livetls

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/handover-go/handover/test/traffic"
)

// curls are one in each suite, and one whom the server has to ask for another key share.
func (s *service) curls() []*client {
	s.t.Helper()
	var want traffic.Channel
	if s.known != nil {
		want.Client = fmt.Sprintf("%x", sha256.Sum256(s.known.TLS(s.t).Certificate[0]))
	}
	again := want
	again.Retried = true
	clients := []*client{s.curl("curl, asked again", again, "curves = X448:P-256")} // Go does not have the first
	for _, suite := range suites {
		want.Suite = suite
		clients = append(clients, s.curl("curl, "+suite, want, "tls13-ciphers = "+suite))
	}
	return clients
}

// curl is one run of it, which is told everything that it could ask at the beginning, and ended when it has asked enough.
func (s *service) curl(name string, want traffic.Channel, option string) *client {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "upload")
	if err := os.WriteFile(file, []byte(upload), 0o600); err != nil {
		s.t.Fatal(err)
	}
	options := []string{
		option, "http1.1", "tlsv1.3", "no-buffer", "fail", "cacert = " + s.Roots, `write-out = "%{num_connects} %{local_port} %{http_code}\n"`,
	}
	if s.known != nil {
		options = append(options, "cert = "+s.known.certFile, "key = "+s.known.keyFile)
	}
	return &client{name: name, want: want, run: func(ctx context.Context, c *client) error {
		p, err := launch(ctx, "curl", "--no-progress-meter", "--config", "-")
		if err != nil {
			return err
		}
		if _, err := io.WriteString(p.in, s.script(file, options)); err != nil {
			return p.leave(err)
		}
		_ = p.in.Close()
		stop := context.AfterFunc(c.asking, func() { _ = p.Process.Signal(syscall.SIGTERM) })
		defer stop()
		var of own
		for err == nil {
			err = c.hearCurl(p, &of)
		}
		if ended := p.leave(err); c.asking.Err() == nil || !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return ended
		}
		return nil
	}}
}

// most is how many questions curl has, each of which takes 20 ms at least: it does not get to the last.
const most = int(patience / (20 * time.Millisecond))

// script is curl's configuration.
func (s *service) script(file string, options []string) string {
	var b strings.Builder
	for n := range most {
		q := ask(n)
		if n > 0 {
			b.WriteString("next\n")
		}
		fmt.Fprintf(&b, "url = \"https://%s%s\"\n%s\n", s.Secure, q.path, strings.Join(options, "\n"))
		if q.method == http.MethodPost {
			fmt.Fprintf(&b, "data-binary = @%s\n", file)
		}
	}
	return b.String()
}

// hearCurl reads an answer, and what curl says of it.
func (c *client) hearCurl(p *program, of *own) error {
	if err := c.hear(p.out); err != nil {
		return err
	}
	said, err := p.out.ReadString('\n')
	if err != nil {
		return fmt.Errorf("read what curl says, of which %q came: %w", said, err)
	}
	var opened, status int
	if _, err := fmt.Sscanf(said, "%d %d %d\n", &opened, &of.port, &status); err != nil || status != http.StatusOK {
		return fmt.Errorf("curl says %q: %w", said, err)
	}
	of.opened += opened
	return c.agree(*of)
}
