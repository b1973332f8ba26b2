package release

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Time limits of one conversation. A server that has begun to answer may take as long as it likes, so long as bytes come (see stall).
const (
	headerTimeout = 30 * time.Second
	smallTimeout  = time.Minute // for a manifest or a signature
	maxRedirects  = 10
)

// newClient makes an HTTP client whose connections are closed by CloseIdleConnections. HTTPS is never left for HTTP.
func newClient() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.ResponseHeaderTimeout = headerTimeout
	t.DisableCompression = true // lengths and ranges are those of the artifact
	return &http.Client{Transport: t, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		switch {
		case len(via) >= maxRedirects:
			return fmt.Errorf("more than %d redirections", maxRedirects)
		case via[0].URL.Scheme == "https" && r.URL.Scheme != "https":
			return fmt.Errorf("redirected from https to %s", r.URL.Redacted())
		}
		return nil
	}}
}

// web is an artifact at an HTTP server.
type web struct {
	client *http.Client
	url    string
	tag    string // strong validator of the bytes that came so far (RFC 9110, 8.8.3); empty: there is none
}

func fetchWeb(ctx context.Context, place string) (artifact, error) {
	w := &web{client: newClient(), url: place}
	a := artifact{payload: w, close: w.client.CloseIdleConnections}
	var err error
	if a.manifest, err = w.small(ctx, ManifestSuffix, maxManifest); errors.Is(err, errAbsent) {
		err = fmt.Errorf("%w: the server has no %s beside it", ErrManifest, ManifestSuffix)
	}
	if err == nil {
		if a.signature, err = w.small(ctx, SignatureSuffix, maxKeyFile); errors.Is(err, errAbsent) {
			err = nil
		}
	}
	if err != nil {
		a.close()
	}
	return a, err
}

// errAbsent: the server says that there is no such thing.
var errAbsent = errors.New("not found")

// small fetches what lies beside the artifact. Like the artifact, it is asked for again when the server or the network fails.
func (w *web) small(ctx context.Context, suffix string, max int64) ([]byte, error) {
	place, err := beside(w.url, suffix)
	if err != nil {
		return nil, err
	}
	var text []byte
	err = again(ctx, smallTimeout, func(ctx context.Context) (bool, error) {
		r, err := w.get(ctx, place, nil)
		if err != nil {
			return false, err
		}
		defer r.Body.Close()
		if err := status(r, http.StatusOK); err != nil {
			return false, err
		}
		text, err = readAtMost(r.Body, max, suffix)
		return false, err
	})
	return text, err
}

// beside adds a suffix to the path of a URL, before its query.
func beside(place, suffix string) (string, error) {
	u, err := url.Parse(place)
	if err != nil {
		return "", err
	}
	u.Path += suffix
	if u.RawPath != "" {
		u.RawPath += suffix
	}
	return u.String(), nil
}

func (w *web) get(ctx context.Context, place string, header http.Header) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, place, nil)
	if err != nil {
		return nil, final{err}
	}
	for k, v := range header {
		r.Header[k] = v
	}
	answer, err := w.client.Do(r)
	if urlErr := (*url.Error)(nil); errors.As(err, &urlErr) {
		err = fmt.Errorf("ask %s: %w", r.URL.Host, urlErr.Err) // its own text has the query
	}
	return answer, err
}

// open asks for the rest of the artifact, if it is still the same (RFC 9110, 13.1.5), else for all of it.
func (w *web) open(ctx context.Context, offset int64) (io.ReadCloser, int64, error) {
	header := http.Header{}
	if offset > 0 && w.tag != "" {
		header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
		header.Set("If-Range", w.tag)
	}
	r, err := w.get(ctx, w.url, header)
	if err != nil {
		return nil, 0, err
	}
	at := int64(0)
	switch r.StatusCode {
	case http.StatusPartialContent:
		if at, err = rangeStart(r.Header.Get("Content-Range")); err == nil && at != offset {
			err = final{fmt.Errorf("asked for bytes from %d, the server gave those from %d", offset, at)}
		}
	case http.StatusRequestedRangeNotSatisfiable:
		return http.NoBody, offset, r.Body.Close() // it has no more
	default:
		err = status(r, http.StatusOK)
		w.tag = validator(r.Header)
	}
	if err != nil {
		return nil, 0, errors.Join(err, r.Body.Close())
	}
	return r.Body, at, nil
}

// validator is what tells one content of a URL from another, byte by byte. A date does not: a file may change twice in a second.
func validator(h http.Header) string {
	if tag := h.Get("ETag"); !strings.HasPrefix(tag, "W/") {
		return tag
	}
	return ""
}

// rangeStart reads where a partial answer begins (RFC 9110, 14.4).
func rangeStart(text string) (int64, error) {
	rest, ok := strings.CutPrefix(text, "bytes ")
	first, _, dash := strings.Cut(rest, "-")
	at, err := strconv.ParseInt(first, 10, 64)
	if !ok || !dash || err != nil || at < 0 {
		return 0, final{fmt.Errorf("content range %q cannot be read", text)}
	}
	return at, nil
}

// status makes an answer other than that an error: final, unless the server says of itself that it is at fault, or busy.
func status(r *http.Response, want int) error {
	switch {
	case r.StatusCode == want:
		return nil
	case r.StatusCode == http.StatusNotFound, r.StatusCode == http.StatusGone:
		return final{fmt.Errorf("%w: the server answers %s", errAbsent, r.Status)}
	case r.StatusCode >= 500, r.StatusCode == http.StatusTooManyRequests, r.StatusCode == http.StatusRequestTimeout:
		return fmt.Errorf("the server answers %s", r.Status)
	}
	return final{fmt.Errorf("the server answers %s", r.Status)}
}
