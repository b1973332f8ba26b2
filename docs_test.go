package handover

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/internal/doctest"
)

// current holds the part of a document that stands between the markers of that name to what the code says.
func current(t *testing.T, file, name, want string) {
	t.Helper()
	doctest.Current(t, ".", file, name, want)
}

// defaults is the configuration of a program that sets nothing, in an environment that sets nothing.
func defaults(t *testing.T) Config {
	t.Helper()
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "HANDOVER") {
			t.Setenv(name, "")
		}
	}
	c, err := Config{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// short is a duration without the units of which there are none.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// TestCurrentHandlerInTheDocument holds docs/sessions.md to the example that it shows.
func TestCurrentHandlerInTheDocument(t *testing.T) {
	b, err := os.ReadFile("examples/session/main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, handler, found := strings.Cut(string(b), "// answer begins")
	if !found {
		t.Fatal("the example has no handler")
	}
	current(t, "docs/sessions.md", "handler", "```go\n// answer begins"+handler+"```\n")
}

// TestCurrentPeersInTheDocument does so with docs/traffic.md.
func TestCurrentPeersInTheDocument(t *testing.T) {
	b, err := os.ReadFile("examples/datagram/main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, peers, found := strings.Cut(string(b), "// Export implements")
	if !found {
		t.Fatal("the example does not export")
	}
	current(t, "docs/traffic.md", "peers", "```go\n// Export implements"+peers+"```\n")
}
