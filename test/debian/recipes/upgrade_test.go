//go:build debian

package recipes

import (
	"testing"

	"github.com/handover-go/handover/handovertest"
)

// The command lines of docs/recipes.md.
var (
	gunicorn = []string{"gunicorn", "--preload", "--worker-class", "gthread", "--workers", "2", "--threads", "8", "--keep-alive", "75", "app:app"}
	node     = []string{"node", "server.js"}
	nginx    = []string{"nginx", "-p", "PREFIX", "-c", "STATE/nginx/release/nginx.conf"}
	jvm      = []string{"sh", "-c", "exec java -cp . Server <&3"}
)

var health = []string{"--health", "/"}

func TestGunicornIsUpgradedWithNobodyRefused(t *testing.T) {
	upgradedUnderLoad(t, keep(t, "app.py", health, gunicorn...), slowOnesToo)
}

func TestNodeIsUpgradedWithNobodyRefused(t *testing.T) {
	upgradedUnderLoad(t, keep(t, "server.js", health, node...), slowOnesToo)
}

func TestNginxIsUpgradedWithNobodyRefused(t *testing.T) {
	upgradedUnderLoad(t, keepNginx(t), everyRequest)
}

func TestJVMIsUpgradedWithNobodyRefused(t *testing.T) {
	upgradedUnderLoad(t, keep(t, "Server.java", health, jvm...), slowOnesToo)
}

func keepNginx(t *testing.T, flags ...string) *kept {
	t.Helper()
	return keep(t, "nginx.conf", append([]string{"--strategy", "nginx", "--health", "/healthz"}, flags...), nginx...)
}

func upgradedUnderLoad(t *testing.T, k *kept, clients handovertest.Clients) {
	t.Parallel()
	d := k.drive(clients)
	for range rounds() {
		k.upgraded()
		must(t, d.WaitAnswers(k.ctx, 20))
	}
	r := d.Stop()
	nobodyRefused(t, r)
	record(t, "by the keeper", rounds(), r)
	for version := 1; version <= rounds()+1; version++ {
		if r.ByGeneration[version] == 0 {
			t.Errorf("release %d has answered nobody: %v", version, r.ByGeneration)
		}
	}
}
