//go:build debian

package zoo

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// health is what the keeper asks a zoo for, and nobody else does.
const health = "/stream?n=1&ms=0"

// healthy are the flags of a keeper that does.
var healthy = []string{"--health", health, "--health-interval", "50ms", "--health-failures", "3"}

// buildSick builds the zoo with ailing before its handler, and all else as it is: "go build -overlay" adds the file, and replaces one line.
func buildSick(t *testing.T) string {
	t.Helper()
	example, err := filepath.Abs("../../../examples/zoo")
	if err != nil {
		t.Fatal(err)
	}
	flaw, err := filepath.Abs("testdata/sick.go")
	if err != nil {
		t.Fatal(err)
	}
	web, err := os.ReadFile(filepath.Join(example, "web.go"))
	if err != nil {
		t.Fatal(err)
	}
	const well, ill = "\treturn mux\n", "\treturn ailing(mux)\n"
	if strings.Count(string(web), well) != 1 {
		t.Fatalf("web.go of the zoo has not one line %q", well)
	}
	dir := t.TempDir()
	changed, overlay := filepath.Join(dir, "web.go"), filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {
		filepath.Join(example, "web.go"): changed, filepath.Join(example, "sick.go"): flaw,
	}})
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string][]byte{
		changed: []byte(strings.Replace(string(web), well, ill, 1)), overlay: replace,
	} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return built(t, "github.com/handover-go/handover/examples/zoo", "-overlay", overlay)
}

// sicken has the build that accepts now fall ill.
func (z *cage) sicken() {
	z.t.Helper()
	request, err := http.NewRequestWithContext(z.ctx, http.MethodGet, "http://"+z.http+"/sicken", nil)
	if err != nil {
		z.t.Fatal(err)
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		z.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		z.t.Fatalf("/sicken: %s", resp.Status)
	}
}
