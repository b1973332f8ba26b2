package release

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// site serves a workshop's artifacts, and breaks off.
type site struct {
	dir    string
	breaks atomic.Int32     // so many answers with the artifact end after a third of what is left
	tag    func(int) string // of the nth answer with the artifact
	body   func(int) []byte // of the nth answer; nil: the file
	ranges []string         // that were asked for
	fails  atomic.Int32     // so many requests get a 503
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.fails.Add(-1) >= 0 {
		http.Error(w, "busy", http.StatusServiceUnavailable)
		return
	}
	name := filepath.Join(s.dir, filepath.Base(r.URL.Path))
	text, err := os.ReadFile(name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	if strings.HasSuffix(name, ".json") || strings.HasSuffix(name, ".minisig") {
		_, _ = w.Write(text)
		return
	}
	n := len(s.ranges)
	s.ranges = append(s.ranges, r.Header.Get("Range"))
	if s.tag != nil {
		w.Header().Set("ETag", s.tag(n))
	}
	if s.body != nil {
		text = s.body(n)
	}
	if s.breaks.Add(-1) < 0 {
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(text))
		return
	}
	broken := &breaking{ResponseWriter: w, left: len(text) / 3}
	http.ServeContent(broken, r, name, time.Time{}, bytes.NewReader(text))
	panic(http.ErrAbortHandler)
}

// breaking takes so many bytes.
type breaking struct {
	http.ResponseWriter
	left int
}

func (b *breaking) Write(p []byte) (int, error) {
	n, _ := b.ResponseWriter.Write(p[:min(len(p), b.left)])
	b.left -= n
	_ = http.NewResponseController(b.ResponseWriter).Flush()
	if n < len(p) {
		return n, errors.New("broken")
	}
	return n, nil
}

func (w *workshop) site() (*site, string) {
	w.t.Helper()
	s := &site{dir: w.dir}
	server := httptest.NewServer(s)
	w.t.Cleanup(server.Close)
	return s, server.URL
}

// large signs an artifact that does not come in one packet.
func (w *workshop) large(version string) string {
	w.t.Helper()
	return w.sign(w.write("large.tar", packed(w.t, program(version))), version, noTime)
}

func TestDownloadGoesOnWhereItBrokeOff(t *testing.T) {
	w := newWorkshop(t)
	w.large("1.2.0")
	page, url := w.site()
	page.tag = func(int) string { return `"one"` }
	page.breaks.Store(2)
	page.fails.Store(1)
	s := store(t)
	r, err := s.Add(t.Context(), source(t, url+"/large.tar"), w.policy(), nil)
	w.check(err)
	size := r.Manifest.Artifact.Size
	third := size / 3
	want := []string{"", fmt.Sprintf("bytes=%d-", third), fmt.Sprintf("bytes=%d-", 2*third)}
	if fmt.Sprint(page.ranges) != fmt.Sprint(want) {
		t.Errorf("asked for ranges %q, want %q", page.ranges, want)
	}
	w.check(s.Verify(t.Context(), r.ID))
}

func TestDownloadBeginsAnewWhenItIsAnother(t *testing.T) {
	w := newWorkshop(t)
	w.large("1.2.0")
	good, err := os.ReadFile(w.path("large.tar"))
	w.check(err)
	for name, tag := range map[string]func(int) string{
		"other tag": func(n int) string { return fmt.Sprintf(`"%d"`, n) },
		"weak tag":  func(int) string { return `W/"one"` },
		"no tag":    nil,
	} {
		page, url := w.site()
		page.tag = tag
		page.breaks.Store(1)
		page.body = func(n int) []byte {
			if n == 0 {
				return bytes.Repeat([]byte("x"), len(good)+1000)
			}
			return good
		}
		if _, err := store(t).Add(t.Context(), source(t, url+"/large.tar"), w.policy(), nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDownloadIsGivenUp(t *testing.T) {
	w := newWorkshop(t)
	artifact := w.large("1.2.0")
	s, _ := w.serving()
	before := snapshot(t, s.dir)
	page, url := w.site()
	add := func(place string) error {
		_, err := s.Add(t.Context(), source(t, place), w.policy(), nil)
		return err
	}
	page.fails.Store(1000)
	if err := add(url + "/large.tar"); err == nil || errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "tried 5 times: the server answers 503") {
		t.Errorf("a server that is always busy: %v", err)
	}
	page.fails.Store(0)
	if err := add(url + "/nothing.tar"); !errors.Is(err, ErrManifest) {
		t.Errorf("nothing there: %v", err)
	}
	short, err := os.ReadFile(artifact)
	w.check(err)
	page.breaks.Store(1000)
	if err := add(url + "/large.tar"); err == nil || errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "tried 5 times: ") {
		t.Errorf("a server that breaks off at the same byte each time: %v", err)
	}
	page.breaks.Store(0)
	page.tag = func(int) string { return `"one"` }
	page.body = func(int) []byte { return short[:len(short)/2] }
	if err := add(url + "/large.tar"); !errors.Is(err, ErrDigest) {
		t.Errorf("truncated: %v", err)
	}
	page.breaks.Store(1)
	page.body = func(n int) []byte { return short[:len(short)/3] }
	if err := add(url + "/large.tar"); !errors.Is(err, ErrDigest) {
		t.Errorf("truncated after it broke off: %v", err)
	}
	page.body = func(int) []byte { return append(bytes.Clone(short), 'x') }
	if err := add(url + "/large.tar"); !errors.Is(err, ErrDigest) {
		t.Errorf("longer: %v", err)
	}
	secret := httptest.NewServer(http.NotFoundHandler())
	place := strings.Replace(secret.URL, "://", "://user:secret@", 1) + "/large.tar?token=secret"
	secret.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := s.Add(ctx, source(t, place), w.policy(), nil); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("nobody there: %v", err)
	}
	if snapshot(t, s.dir) != before {
		t.Error("the store has changed")
	}
}

func TestHTTPSIsNotLeftForHTTP(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	secure := httptest.NewTLSServer(http.RedirectHandler(plain.URL, http.StatusFound))
	defer secure.Close()
	c := secure.Client()
	c.CheckRedirect = newClient().CheckRedirect
	r, err := c.Get(secure.URL)
	if err == nil {
		r.Body.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "redirected from https") {
		t.Errorf("redirected to HTTP: %v", err)
	}
}

func TestSourcesAreParsed(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	for text, want := range map[string]Source{
		"/srv/shop.tar":                       {"file", "/srv/shop.tar", ""},
		"/srv/#1/shop.tar":                    {"file", "/srv/#1/shop.tar", ""},
		"/srv/shop.tar#sha256=" + sum:         {"file", "/srv/shop.tar", sum},
		"https://example.org/shop.tar":        {"https", "https://example.org/shop.tar", ""},
		"oci://example.org/team/shop:1.2":     {"oci", "example.org/team/shop:1.2", ""},
		"oci://[::1]:5000/shop@sha256:" + sum: {"oci", "[::1]:5000/shop@sha256:" + sum, ""},
	} {
		if s, err := ParseSource(text); err != nil || s != want {
			t.Errorf("%s: %+v, %v", text, s, err)
		}
	}
	for _, text := range []string{"", "#sha256=" + sum, "x#sha256=1", "ftp://example.org/x", "https:///x", "oci://example.org", "oci://example.org/Shop:1", "oci://example.org/shop"} {
		if s, err := ParseSource(text); err == nil {
			t.Errorf("%q is %+v", text, s)
		}
	}
}
