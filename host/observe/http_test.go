package observe_test

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/host/judge"
	"github.com/handover-go/handover/host/observe"
)

// site answers as its path says.
var site = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/ill":
		w.WriteHeader(http.StatusServiceUnavailable)
	case "/moved":
		http.Redirect(w, r, "/ill", http.StatusFound)
	case "/host":
		_, _ = w.Write([]byte(r.Host))
	case "/hang":
		<-r.Context().Done()
	case "/endless":
		for r.Context().Err() == nil {
			if _, err := w.Write([]byte("more\n")); err != nil {
				return
			}
		}
	default:
		_, _ = w.Write([]byte("all is well: " + r.URL.RawQuery))
	}
})

// well reports how a check went, which must have been as wanted.
func well(t *testing.T, c observe.Check, ok bool, detail string) judge.Check {
	t.Helper()
	if v, is := c.(interface{ Validate() error }); is {
		if err := v.Validate(); err != nil {
			t.Fatal(err)
		}
	}
	o := c.Run(t.Context())
	if o.OK != ok || !strings.Contains(o.Detail, detail) || o.Name != "x" || o.Latency <= 0 {
		t.Errorf("ok %t: %q after %s (name %q), want %t: %q", o.OK, o.Detail, o.Latency, o.Name, ok, detail)
	}
	return o
}

func TestHTTPJudgesStatusAndAnswer(t *testing.T) {
	server := httptest.NewServer(site)
	defer server.Close()
	at := observe.Where{Address: server.Listener.Addr().String()}
	for _, c := range []struct {
		name   string
		check  observe.HTTP
		ok     bool
		detail string
	}{
		{"root", observe.HTTP{}, true, "GET /: status 200"},
		{"503", observe.HTTP{Path: "/ill"}, false, "GET /ill: status 503"},
		{"503 that is wanted", observe.HTTP{Path: "/ill", Statuses: []int{200, 503}}, true, "status 503"},
		{"200 that is not wanted", observe.HTTP{Statuses: []int{204}}, false, "status 200"},
		{"a redirect is not followed", observe.HTTP{Path: "/moved"}, true, "status 302"},
		{"a query, and what it contains", observe.HTTP{Path: "/a?deep=1", Contains: "deep=1"}, true, "GET /a?deep=1: status 200"},
		{"what it does not contain", observe.HTTP{Contains: "ill"}, false, `does not contain "ill"`},
		{"what it matches", observe.HTTP{Matches: regexp.MustCompile(`^all .* well`)}, true, "status 200"},
		{"what it does not match", observe.HTTP{Matches: regexp.MustCompile(`^well`)}, false, "does not match"},
		{"the name of the host", observe.HTTP{Path: "/host", Host: "shop.example", Contains: "shop.example"}, true, "status 200"},
		{"no end of the answer", observe.HTTP{Path: "/endless", Contains: "less"}, false, "does not contain"},
		{"no answer", observe.HTTP{Path: "/hang", Timeout: 50 * time.Millisecond}, false, "no answer within 50ms"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.check.Name, c.check.Where = "x", at
			well(t, c.check, c.ok, c.detail)
		})
	}
}

func TestHTTPOverTLSChecksTheCertificateUnlessToldNotTo(t *testing.T) {
	server := httptest.NewUnstartedServer(site)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of a client that does not trust it
	server.StartTLS()
	defer server.Close()
	at := observe.Where{Network: "tcp", Address: server.Listener.Addr().String()}
	well(t, observe.HTTP{Name: "x", Where: at, TLS: true}, false, "certificate")
	well(t, observe.HTTP{Name: "x", Where: at, TLS: true, Insecure: true}, true, "status 200")
}

func TestHTTPOverAUnixSocket(t *testing.T) {
	at := observe.Where{Network: "unix", Address: filepath.Join(t.TempDir(), "s")}
	well(t, observe.HTTP{Name: "x", Where: at}, false, "no such file")
	ln, err := net.Listen(at.Network, at.Address)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(site)
	_ = server.Listener.Close()
	server.Listener = ln
	server.Start()
	defer server.Close()
	well(t, observe.HTTP{Name: "x", Where: at, Path: "/host", Contains: "localhost"}, true, "status 200")
}

func TestHTTPNobodyListens(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	well(t, observe.HTTP{Name: "x", Where: observe.Where{Address: ln.Addr().String()}}, false, "refused")
}
