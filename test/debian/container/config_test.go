//go:build debian

package container

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/handover-go/handover/test/docs"
)

const operations = "../../../docs/operations.md"

// entrypoint is what the documents have a container run.
func entrypoint(t *testing.T) (args []string) {
	t.Helper()
	blocks, err := docs.Read(operations)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range blocks {
		_, form, found := strings.Cut(b.Text, "\nENTRYPOINT ")
		if b.Language != "dockerfile" || !found {
			continue
		}
		if err := json.Unmarshal([]byte(form), &args); err != nil {
			t.Fatalf("%s:%d: ENTRYPOINT is not in the exec form: %v", operations, b.Line, err)
		}
		return args
	}
	t.Fatalf("%s has no Dockerfile with an ENTRYPOINT", operations)
	return nil
}

// config is what an OCI runtime is told (config.json of the runtime specification, version 1.0.2), as far as it is told anything.
type config struct {
	Version string  `json:"ociVersion"`
	Process process `json:"process"`
	Root    root    `json:"root"`
	Mounts  []mount `json:"mounts"`
	Linux   linux   `json:"linux"`
}

type process struct {
	Args            []string `json:"args"`
	Env             []string `json:"env"`
	Cwd             string   `json:"cwd"`
	NoNewPrivileges bool     `json:"noNewPrivileges"`
	User            struct{} `json:"user"` // root of the container, without capabilities
}

type root struct {
	Path     string `json:"path"`
	Readonly bool   `json:"readonly"`
}

type mount struct {
	Destination string   `json:"destination"`
	Type        string   `json:"type"`
	Source      string   `json:"source"`
	Options     []string `json:"options"`
}

type linux struct {
	Namespaces []namespace `json:"namespaces"`
}

type namespace struct {
	Type string `json:"type"`
}

func newConfig(args, env []string, mounts ...mount) config {
	c := config{
		Version: "1.0.2",
		Process: process{Args: args, Env: append([]string{"PATH=/bin"}, env...), Cwd: "/", NoNewPrivileges: true},
		Root:    root{Path: "rootfs", Readonly: true},
		Mounts: append([]mount{
			{"/proc", "proc", "proc", nil},
			{"/dev", "tmpfs", "tmpfs", []string{"nosuid", "mode=755"}},
			{"/run", "tmpfs", "tmpfs", []string{"nosuid", "nodev", "mode=755"}},
		}, mounts...),
	}
	for _, kind := range []string{"pid", "network", "ipc", "uts", "mount"} {
		c.Linux.Namespaces = append(c.Linux.Namespaces, namespace{kind})
	}
	return c
}
