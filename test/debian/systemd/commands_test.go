//go:build debian

package systemd

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/handover-go/handover/test/docs"
)

const operations = "../../../docs/operations.md"

// The page installs both units, one after the other, from a directory with the repository's deploy and a CI's build.
func TestCommandsForSystemdWork(t *testing.T) {
	t.Parallel()
	blocks, err := docs.Commands(operations, "systemd")
	if err != nil {
		t.Fatal(err)
	}
	m := boot(t)
	m.write("/etc/systemd/system/"+unit+".d/test.conf", []byte("[Service]\nEnvironment=HANDOVER_PROBATION=1s GORACE=atexit_sleep_ms=0\n"), 0o644)
	for _, file := range []string{"handover-keeper.service", "handover-alone.service"} {
		m.copy(units+file, filepath.Join("/srv/handover/deploy/systemd", file), 0o644)
	}
	m.copy(static(t, command, ""), "/srv/handover/build/handover", 0o755)
	m.copy(static(t, "./service", ""), "/srv/handover/build/my-service", 0o755)
	m.write("/srv/handover/commands", []byte("cd /srv/handover\n"+docs.Script(filepath.Base(operations), blocks)), 0o644)
	said := m.run("bash", "/srv/handover/commands")
	if !strings.Contains(said, unit+" is set up for handovers") { // the doctor's judgement
		t.Error(said)
	}
}

func TestCommandsForThePackageWork(t *testing.T) {
	t.Parallel()
	blocks, err := docs.Commands(operations, "package")
	if err != nil {
		t.Fatal(err)
	}
	m := boot(t)
	m.write("/etc/systemd/system/"+agentUnit+".d/test.conf", []byte(agentSettings), 0o644)
	m.copy(pack(t, "1.0", static(t, command, "")), "/srv/handover_1.0_all.deb", 0o644)
	m.write("/srv/commands", []byte("cd /srv\n"+docs.Script(filepath.Base(operations), blocks)), 0o644)
	t.Log(m.run("bash", "/srv/commands"))
	if state := m.run("systemctl", "is-active", agentUnit); state != "active" {
		t.Errorf("the agent is %s", state)
	}
}
