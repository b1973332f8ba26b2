//go:build debian

package livetls

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"syscall"
)

// chromium opens a page that asks at this process what it is to ask the service, by HTTP/1.1. Its connections are counted by the service: a page
// does not know them.
func (s *service) chromium(ctx context.Context, c *client) error {
	result := make(chan error, 1)
	page := httptest.NewServer(s.page(c, result))
	defer page.Close()
	key := sha256.Sum256(s.Pair.TLS(s.t).Leaf.RawSubjectPublicKeyInfo)
	p, err := launch(ctx, "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--user-data-dir="+s.t.TempDir(),
		"--disable-http2", "--ignore-certificate-errors-spki-list="+base64.StdEncoding.EncodeToString(key[:]),
		// Nothing but the page, and nothing beyond the loopback interface.
		"--no-first-run", "--no-default-browser-check", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
		"--disable-breakpad", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
		page.URL)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- p.leave(nil) }() // it reads no input, so this waits
	select {
	case err = <-result:
		_ = p.Process.Signal(syscall.SIGTERM)
		<-ended // however that is
		return err
	case err = <-ended:
		return fmt.Errorf("the browser has ended: %w", err)
	}
}

// page is the page, and tells it what to ask. The result is that of its questions, when it has no more or one failed.
func (s *service) page(c *client, result chan<- error) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, "testdata/page.html") })
	asked := false
	mux.HandleFunc("POST /next", func(w http.ResponseWriter, r *http.Request) {
		if asked {
			heard := bufio.NewReader(r.Body)
			var status int
			_, err := fmt.Fscanf(heard, "%d\n", &status)
			if err == nil {
				err = c.hearBody(status, heard)
			}
			if err != nil {
				result <- err
				return
			}
		}
		asked = true
		q, more := c.next()
		if !more {
			result <- nil
			return
		}
		fmt.Fprintf(w, "%s https://%s%s\n%s", q.method, s.Secure, q.path, q.body)
	})
	return mux
}
