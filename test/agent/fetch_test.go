//go:build linux

package agent

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/host/control"
	"github.com/handover-go/handover/test/internal/executable"
)

// TestUpgradeThatIsFetchedIsAborted at once, by a person: the server is asked no more, nothing is left of what had come, and the record says who it was.
func TestUpgradeThatIsFetchedIsAborted(t *testing.T) {
	t.Parallel()
	h, _, before := newShop(t, "probation: 300ms, bake: 300ms, drain_timeout: 5s")
	source, asked, left := h.slowly(h.file("shop", "1.1.0"))
	u, err := h.client.Upgrade(h.ctx, "shop", control.UpgradeRequest{Source: source})
	must(t, err)
	h.hears(asked, "the server is asked for the release")
	began := time.Now()
	_, err = h.client.Abort(h.ctx, "shop", "not today")
	must(t, err)
	h.hears(left, "the server is asked no more")
	u = h.await(u)
	if u.State != "aborted" || !strings.Contains(u.Reason, "aborted by uid:") || !strings.Contains(u.Reason, "not today") {
		t.Errorf("%s", asJSON(u))
	}
	if took := time.Since(began); took > 20*time.Second { // it takes a moment; who waits for bytes waits for half a minute
		t.Errorf("it took %s", took)
	}
	history, err := h.client.History(h.ctx, "shop", 1)
	if err != nil || len(history) != 1 || history[0].State != "aborted" || history[0].Reason != u.Reason {
		t.Errorf("history: %v, %s", err, asJSON(history))
	}
	if staged, err := os.ReadDir(h.path("state", "services", "shop", "staging")); err != nil || len(staged) > 0 {
		t.Errorf("staging: %v, %v", staged, err)
	}
	if after := h.awaits("shop", "running"); after.PID != before.PID {
		t.Errorf("process %d serves, after %d", after.PID, before.PID)
	}
}

// TestServiceIsStartedByTheFirstReleaseThatComes, and says until then what it waits for; stopped meanwhile, it stops.
func TestServiceIsStartedByTheFirstReleaseThatComes(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	source, asked, left := h.slowly(h.file("chat", "1.0.0"))
	shop, chat := handovertest.FreeAddress(t), handovertest.FreeAddress(t)
	h.configure(h.shop("shop", shop, "probation: 300ms, bake: 300ms"),
		strings.Replace(h.shop("chat", chat, "probation: 300ms, bake: 300ms"), h.path("ci-releases", "chat-1.0.0"), source, 1))
	h.start()
	h.eventually("shop says what it waits for", func() (any, bool) {
		s, err := h.client.Service(h.ctx, "shop")
		return asJSON(s), err == nil && s.State == "starting" && strings.Contains(s.Reason, "first release") && strings.Contains(s.Reason, "again at")
	})
	h.release("shop", "1.0.0", "")
	_, err := h.client.Start(h.ctx, "shop") // which need not wait for the next attempt
	must(t, err)
	h.awaits("shop", "running")

	h.hears(asked, "the server is asked for the release")
	if s := h.awaits("chat", "starting"); !strings.Contains(s.Reason, "fetched from "+source) {
		t.Errorf("%s", asJSON(s))
	}
	_, err = h.client.Stop(h.ctx, "chat")
	must(t, err)
	h.hears(left, "the server is asked no more")
	h.eventually("the record says so", func() (any, bool) {
		history, err := h.client.History(h.ctx, "chat", 1)
		return asJSON(history), err == nil && len(history) == 1 && history[0].State == "aborted" && strings.Contains(history[0].Reason, "stopped")
	})
	h.awaits("chat", "stopped")
}

// file makes and signs a release of one file, and returns where it lies.
func (h *host) file(name, version string) string {
	h.t.Helper()
	must(h.t, os.MkdirAll(h.path("ci-files"), 0o755))
	content, err := os.ReadFile(h.program)
	must(h.t, err)
	path := h.path("ci-files", name+"-"+version)
	executable.Write(h.t, path, content, 0o755)
	h.run("release", "sign", "--key", h.path("ci"), "--name", name, "--version", version, path)
	return path
}

// slowly is the URL of a file at a server that sends a part of it, and then nothing. asked and left are closed when a client has begun to read, and when it
// has gone.
func (h *host) slowly(path string) (url string, asked, left <-chan struct{}) {
	reading, gone := make(chan struct{}), make(chan struct{})
	files := http.FileServer(http.Dir(filepath.Dir(path)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/"+filepath.Base(path) {
			files.ServeHTTP(w, r)
			return
		}
		_, _ = w.Write(make([]byte, 1000))
		_ = http.NewResponseController(w).Flush()
		close(reading)
		<-r.Context().Done()
		close(gone)
	}))
	h.t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL + "/" + filepath.Base(path), reading, gone
}

// hears waits until something is said.
func (h *host) hears(said <-chan struct{}, what string) {
	h.t.Helper()
	select {
	case <-said:
	case <-h.ctx.Done():
		h.t.Fatalf("not seen in time: %s\n%s", what, h.logs())
	}
}
