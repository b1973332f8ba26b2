package control

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/handover-go/handover/internal/platform"
)

// Options of a client. The zero value does for a unix socket.
type Options struct {
	TLS *tls.Config // for https: with the client's certificate, and the authority of the agent's; see ClientTLS
}

// Client asks an agent. Its methods may be called by several goroutines; what they return is as the sentinels of this package say, or
// ErrNoAgent.
type Client struct {
	base string // of every URL
	http *http.Client
}

// Dial makes a client of the agent at an address: the absolute path of its socket, unix:PATH, or https://HOST:PORT. Nothing is connected
// before the first request. The caller closes the client.
//
// At a unix socket only a process of root, of this user or of the user who owns the socket's directory is spoken to.
func Dial(address string, o Options) (*Client, error) {
	path := strings.TrimPrefix(address, "unix:")
	transport := &http.Transport{MaxIdleConns: 4, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: 10 * time.Second}
	if filepath.IsAbs(path) {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return connect(ctx, path) }
		return &Client{"http://agent", &http.Client{Transport: transport}}, nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("%w: address %q: give the absolute path of the agent's socket, or https://HOST:PORT", ErrInvalid, address)
	}
	if o.TLS == nil {
		return nil, fmt.Errorf("%w: address %q: https needs a certificate of this client", ErrInvalid, address)
	}
	transport.TLSClientConfig = o.TLS.Clone()
	transport.TLSClientConfig.MinVersion = tls.VersionTLS13
	return &Client{"https://" + u.Host, &http.Client{Transport: transport}}, nil
}

// ClientTLS is what Dial needs for https: this client's certificate, and the authority that has signed the agent's. All are PEM files.
func ClientTLS(certFile, keyFile, serverCA string) (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("read certificate of the client: %w", err)
	}
	pool, err := readPool(serverCA)
	if err != nil {
		return nil, fmt.Errorf("read authority of the agent: %w", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}, RootCAs: pool}, nil
}

// Close closes connections that are idle. What was asked for goes on.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// connect connects to a socket, if its process may be trusted with what is said there.
func connect(ctx context.Context, path string) (net.Conn, error) {
	nc, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	switch {
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w: %w", ErrNoAgent, err)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w: %w", ErrDenied, err)
	case err != nil:
		return nil, err
	}
	creds, err := platform.PeerCredentials(nc.(*net.UnixConn))
	if err == nil && creds.UID != 0 && creds.UID != os.Geteuid() && creds.UID != ownerOf(filepath.Dir(path)) {
		err = fmt.Errorf("%w: the process that answers is of user %d, who does not own %s", ErrDenied, creds.UID, filepath.Dir(path))
	}
	if err != nil {
		_ = nc.Close()
		return nil, err
	}
	return nc, nil
}

func ownerOf(dir string) int {
	info, err := os.Stat(dir)
	if err != nil {
		return 0
	}
	return int(info.Sys().(*syscall.Stat_t).Uid)
}

// ask puts a question, and reads the whole answer into a new A.
func ask[A any](ctx context.Context, c *Client, method, path string, body any) (A, error) {
	var a A
	r, err := c.send(ctx, method, path, body, nil)
	if err != nil {
		return a, err
	}
	defer func() { _ = r.Body.Close() }()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return a, c.unanswered(err)
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return a, fmt.Errorf("%s %s: read the answer: %w", method, path, err)
	}
	return a, nil
}

// send puts a question. Its answer is a success, and the caller closes its body.
func (c *Client) send(ctx context.Context, method, path string, body any, header http.Header) (*http.Response, error) {
	var text io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", method, path, err)
		}
		text = bytes.NewReader(b)
	}
	q, err := http.NewRequestWithContext(ctx, method, c.base+path, text)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	for key, values := range header {
		q.Header[key] = values
	}
	if body != nil {
		q.Header.Set("Content-Type", "application/json")
	}
	r, err := c.http.Do(q)
	if err != nil {
		return nil, c.unanswered(err)
	}
	if r.StatusCode < 300 {
		return r, nil
	}
	return nil, readError(r)
}

// readError reads an answer that is no success.
func readError(r *http.Response) error {
	defer func() { _ = r.Body.Close() }()
	e := &Error{Status: r.StatusCode}
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(e); err != nil || e.Code == "" {
		return fmt.Errorf("the answer is %s, and none of an agent", r.Status)
	}
	return e
}

// unanswered says in this package's words why there is no answer.
func (c *Client) unanswered(err error) error {
	var own *url.Error
	if errors.As(err, &own) {
		err = own.Err // without the URL, which is none that a person has given
	}
	var alert tls.AlertError
	var unverified *tls.CertificateVerificationError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", ErrDeadline, err)
	case errors.Is(err, context.Canceled), errors.Is(err, ErrDenied), errors.Is(err, ErrNoAgent), errors.As(err, &alert), errors.As(err, &unverified):
		return fmt.Errorf("ask the agent: %w", err)
	}
	return fmt.Errorf("%w: %w", ErrNoAgent, err)
}

// path of a service's route.
func path(service, rest string, query ...string) string {
	p := "/v1/services/" + url.PathEscape(service) + rest
	return withQuery(p, query...)
}

// withQuery appends pairs of a name and a value; those without a value are left out.
func withQuery(p string, pairs ...string) string {
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 {
		return p
	}
	return p + "?" + q.Encode()
}

// number is empty for 0.
func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}
