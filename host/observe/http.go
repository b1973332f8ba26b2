package observe

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/handover-go/handover/host/judge"
)

// maxBody is how much of an answer is read to look for what it should contain.
const maxBody = 1 << 20

// HTTP asks by GET, on a connection of its own, and follows no redirect.
type HTTP struct {
	Name string
	Where
	TLS      bool
	Insecure bool   // accept any certificate: the other end is known by its address
	Host     string // of the request, and the name in the certificate. Default: the address; of a unix socket, localhost
	Path     string // with a query, if there is one. Default /

	Statuses []int          // that are good. Default: 200 to 399
	Contains string         // what the first MiB of the answer must contain
	Matches  *regexp.Regexp // what it must match
	Timeout  time.Duration  // for all of it. Default 5 s
}

// Validate returns what is wrong with the check, or nil.
func (c HTTP) Validate() error {
	wrong := []error{c.Where.validate()}
	if _, err := c.url(); err != nil {
		wrong = append(wrong, fmt.Errorf("Path: %q: %w", c.Path, err))
	}
	if strings.ContainsAny(c.Host, "/ \r\n") {
		wrong = append(wrong, fmt.Errorf("Host: %q: want a name, or name:port", c.Host))
	}
	for _, s := range c.Statuses {
		if s < 200 || s > 599 {
			wrong = append(wrong, fmt.Errorf("Statuses: %d: want 200 to 599", s))
		}
	}
	return named(c.Name, c.Timeout, wrong...)
}

// Run asks once.
func (c HTTP) Run(ctx context.Context) judge.Check { return measure(ctx, c.Name, c.Timeout, c.ask) }

func (c HTTP) ask(ctx context.Context) (string, error) {
	target, err := c.url()
	if err != nil {
		return "", err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return "", err
	}
	r.Header.Set("User-Agent", "handover-health")
	transport := transportTo(c.Where, c.Insecure)
	transport.DisableKeepAlives = true
	answer, err := transport.RoundTrip(r)
	if err != nil {
		return "", fmt.Errorf("GET %s: %w", target.RequestURI(), err)
	}
	defer func() { _ = answer.Body.Close() }()
	seen := fmt.Sprintf("GET %s: status %d", target.RequestURI(), answer.StatusCode)
	good := answer.StatusCode >= 200 && answer.StatusCode <= 399
	if len(c.Statuses) > 0 {
		good = slices.Contains(c.Statuses, answer.StatusCode)
	}
	if !good {
		return "", errors.New(seen)
	}
	if c.Contains == "" && c.Matches == nil {
		return seen, nil
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxBody))
	switch {
	case err != nil:
		return "", fmt.Errorf("%s: read the answer: %w", seen, err)
	case !bytes.Contains(body, []byte(c.Contains)):
		return "", fmt.Errorf("%s: the answer does not contain %q", seen, c.Contains)
	case c.Matches != nil && !c.Matches.Match(body):
		return "", fmt.Errorf("%s: the answer does not match %q", seen, c.Matches)
	}
	return seen, nil
}

func (c HTTP) url() (*url.URL, error) {
	path := c.Path
	if path == "" {
		path = "/"
	}
	if !strings.HasPrefix(path, "/") {
		return nil, errors.New("want a path that begins with /")
	}
	u, err := url.ParseRequestURI(path)
	if err != nil {
		return nil, err
	}
	u.Scheme, u.Host = authority(c.Where, c.TLS, c.Host)
	return u, nil
}

// authority is the scheme and the host of a request.
func authority(w Where, secure bool, host string) (scheme, authority string) {
	scheme = "http"
	if secure {
		scheme = "https"
	}
	if host == "" {
		host = w.Address
		if w.Network == "unix" {
			host = "localhost"
		}
	}
	return scheme, host
}

// transportTo makes connections to one place only, whatever the request is to.
func transportTo(w Where, insecure bool) *http.Transport {
	return &http.Transport{
		DialContext:     func(ctx context.Context, _, _ string) (net.Conn, error) { return w.dial(ctx) },
		TLSClientConfig: &tls.Config{InsecureSkipVerify: insecure}, // only where the configuration says so
	}
}
