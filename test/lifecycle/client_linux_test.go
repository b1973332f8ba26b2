package lifecycle

import (
	"encoding/json"
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

// object decodes an answer in JSON.
func object[T any](t *testing.T, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("answer %q: %v", text, err)
	}
	return v
}
