package lifecycle

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/handover-go/handover/test/internal/client"
)

func (r *run) dial() *client.Conn {
	r.t.Helper()
	return client.Dial(r.t, r.address, patience)
}

// get asks on a connection of its own.
func (r *run) get(path string) string {
	r.t.Helper()
	return client.Get(r.t, r.address, path, patience)
}

// hold begins an upload of one byte, which the test sends when the request is to end. Its handler has begun: the body was asked for.
func (r *run) hold(id string) *client.Conn {
	r.t.Helper()
	c := r.dial()
	c.Send("POST /upload?id=%s HTTP/1.1\r\nHost: service\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", id)
	if resp := c.Head(); resp.StatusCode != http.StatusContinue {
		r.t.Fatalf("answer %s, want the body to be asked for", resp.Status)
	}
	return c
}

// object decodes an answer in JSON.
func object[T any](t *testing.T, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("answer %q: %v", text, err)
	}
	return v
}
