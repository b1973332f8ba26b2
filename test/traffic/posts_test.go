//go:build linux

package traffic

import (
	"fmt"
	"strings"
	"testing"
)

// TestPostThatIsHalfReadAtFinalIsAnswered on connections that cannot follow: with its length, in chunks with a trailer, and where the client
// waits for "100 Continue"; begun before FINAL, or behind it on a connection of before. On those that can, it is a part of
// TestByteSplitsAreAnsweredAsByPlainNetHTTP.
func TestPostThatIsHalfReadAtFinalIsAnswered(t *testing.T) {
	t.Parallel()
	s, address, roots := startTLS(t)
	first := s.PID()
	kinds := []struct{ name, fields, half, rest, trailer string }{
		{"length", "Content-Length: 8\r\n", "half", "half", ""},
		{"chunks", "Transfer-Encoding: chunked\r\nTrailer: X-Handovertest-Trailer\r\n", "4\r\nhalf\r\n", "4\r\nhalf\r\n0\r\nX-Handovertest-Trailer: last\r\n\r\n", "last"},
		{"continue", "Content-Length: 8\r\nExpect: 100-continue\r\n", "", "halfhalf", ""},
	}
	var begun, late []conn
	for range kinds {
		begun, late = append(begun, dialTLS(t, address, roots, "http/1.1")), append(late, dialTLS(t, address, roots, "http/1.1"))
	}
	begin := func(conns []conn) {
		for i, kind := range kinds {
			conns[i].Send("POST /upload?id=%s HTTP/1.1\r\nHost: service\r\n%s\r\n%s", kind.name, kind.fields, kind.half)
			if kind.name != "continue" {
				continue
			}
			if resp := conns[i].Head(); resp.StatusCode != 100 {
				t.Fatalf("before the body: %s; want 100 Continue", resp.Status)
			}
		}
	}
	for _, c := range late {
		c.IsOf(first)
	}
	begin(begun)
	s.Next()
	begin(late)
	for _, conns := range [][]conn{begun, late} {
		for i, kind := range kinds {
			conns[i].Send("%s", kind.rest)
			resp, body := conns[i].Response()
			if want := fmt.Sprintf("%s %d ", kind.name, first); resp.StatusCode != 200 || !strings.HasPrefix(body, want) ||
				!strings.Contains(body, "\n8 ") || !strings.HasSuffix(body, fmt.Sprintf(" %q\n", kind.trailer)) {
				t.Errorf("%s is answered %s %q", kind.name, resp.Status, body)
			}
			conns[i].Close()
		}
	}
	s.AwaitExit(first)
}
