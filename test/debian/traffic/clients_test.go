//go:build debian

package traffic

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/handover-go/handover/test/debian/h2load"
)

// TestCurlLosesNothing without --retry: over TLS with ten requests at a time on one HTTP/2 connection; with prior knowledge one on
// each, as curl 7.88 meets a framing error when it uses such a connection again, at a plain server of Go as well.
func TestCurlLosesNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env      []string
		runs     int
		requests int // of a run
		ms       int // that a request takes
		base     func(*service) string
		args     func(*service) []string
	}{
		"HTTP/2 over TLS": {
			nil, 1, 300, 100, func(s *service) string { return "https://" + s.Secure },
			func(s *service) []string {
				return []string{"--http2", "--cacert", s.Roots, "--parallel", "--parallel-max", "10"}
			},
		},
		"HTTP/2 with prior knowledge": {
			[]string{"H2C=1"}, 6, 1, 700, func(s *service) string { return "http://" + s.Plain },
			func(*service) []string { return []string{"--http2-prior-knowledge"} },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, c.env...)
			answered, upgrades, runs := 0, 0, 0
			for ; runs < c.runs || upgrades < 3; runs++ {
				var urls strings.Builder
				for i := range c.requests {
					fmt.Fprintf(&urls, "url = %s/slow?id=%d&ms=%d\noutput = /dev/null\n", c.base(s), i, c.ms)
				}
				out, n := s.client(urls.String(), "curl", append(c.args(s), "--no-progress-meter", "--fail",
					"--write-out", "%{stderr}answered %{http_code} over %{http_version}\n", "--config", "-")...)
				upgrades += n
				answered += strings.Count(out, "answered 200 over 2\n")
			}
			t.Logf("%d of %d requests answered over %d upgrades", answered, runs*c.requests, upgrades)
			if answered != runs*c.requests {
				t.Errorf("%d of %d requests were answered over %d upgrades", answered, runs*c.requests, upgrades)
			}
		})
	}
}

// TestH2loadLosesNothing: it repeats no request, not even one that GOAWAY says was refused unseen. Over HTTP/2 a run ends with the first
// GOAWAY, so there are many.
func TestH2loadLosesNothing(t *testing.T) {
	t.Parallel()
	for name, protocol := range map[string]struct {
		env  []string
		says string
		base func(*service) string
	}{
		"HTTP/2 over TLS":             {nil, "h2", func(s *service) string { return "https://" + s.Secure }},
		"HTTP/2 with prior knowledge": {[]string{"H2C=1"}, "h2c", func(s *service) string { return "http://" + s.Plain }},
		"HTTP/1.1 over TLS":           {[]string{"H2C=1"}, "http/1.1", func(s *service) string { return "https://" + s.Secure }},
	} {
		t.Run(name, func(t *testing.T) { // one at a time: each keeps every processor busy
			s := start(t, protocol.env...)
			dir := t.TempDir()
			answered, withdrawn, upgrades, runs := 0, 0, 0, 0
			for ; upgrades < 8; runs++ {
				log := filepath.Join(dir, strconv.Itoa(runs))
				out, n := s.client("", "h2load", "-n", "4000", "-c", "4", "-m", "5", "--log-file", log, protocol.base(s)+"/slow?id=1&ms=5")
				upgrades += n
				logged, err := os.ReadFile(log)
				if err != nil {
					t.Fatal(err)
				}
				r, err := h2load.Read(out, string(logged))
				if err != nil || r.Protocol != protocol.says {
					t.Fatalf("in run %d, over %s, want %s: %v\n%s", runs, r.Protocol, protocol.says, err, out)
				}
				answered += r.Answered
				withdrawn += r.Withdrawn
			}
			t.Logf("%d requests answered in %d runs over %d upgrades, %d withdrawn before they were sent", answered, runs, upgrades, withdrawn)
		})
	}
}

// TestOpenSSLResumesAcrossTenUpgrades with the one ticket that it got at first, in either version of TLS.
func TestOpenSSLResumesAcrossTenUpgrades(t *testing.T) {
	t.Parallel()
	s := start(t)
	request := "GET /?id=1 HTTP/1.1\r\nHost: service\r\nConnection: close\r\n\r\n"
	connect := func(version string, more ...string) string {
		t.Helper()
		out, _ := s.client(request, "openssl", append([]string{"s_client", "-connect", s.Secure, "-CAfile", s.Roots, version, "-ign_eof"}, more...)...)
		return out
	}
	dir := t.TempDir()
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		if out := connect(version, "-sess_out", filepath.Join(dir, version)); !strings.Contains(out, "\nNew, ") {
			t.Fatalf("%s: the first session is none:\n%s", version, out)
		}
		if _, err := os.Stat(filepath.Join(dir, version)); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 10 {
		s.Upgrade(1)
		for _, version := range []string{"-tls1_2", "-tls1_3"} {
			if out := connect(version, "-sess_in", filepath.Join(dir, version)); !strings.Contains(out, "\nReused, ") {
				t.Errorf("%s: not resumed after upgrade %d:\n%s", version, n+1, out)
			}
		}
	}
}
