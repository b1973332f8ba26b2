//go:build debian

package recipes

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/handover-go/handover/handovertest"
)

// TestAgentUpgradesProgramsInAnyLanguage by signed releases, under load, all three at a time: nobody is refused.
func TestAgentUpgradesProgramsInAnyLanguage(t *testing.T) {
	t.Parallel()
	a := &agent{t: t, dir: open(t), cli: handovertest.Build(t, "github.com/handover-go/handover/host/cmd/handover")}
	a.run("release", "keygen", "--no-passphrase", filepath.Join(a.dir, "ci"))
	programs := []*kept{
		a.add("gunicorn", "app.py", "", gunicorn...), a.add("node", "server.js", "", node...), a.add("nginx", "nginx.conf", "strategy: nginx", nginx...),
	}
	a.start()
	for _, k := range programs {
		k.eventually("a service that runs", func() bool { return strings.Contains(a.run("status", k.name), "running") })
	}
	var loads []*handovertest.Driver
	for _, k := range programs {
		loads = append(loads, k.drive(everyRequest))
	}
	for round := range rounds() {
		for i, k := range programs {
			a.run("upgrade", "--source", a.signed(k.name, k.renew()), k.name)
			must(t, loads[i].WaitAnswers(k.ctx, 50))
			if said := a.run("history", k.name); !strings.Contains(said, strconv.Itoa(round+2)+".0.0") {
				t.Errorf("%s", said)
			}
		}
	}
	for i, k := range programs {
		r := loads[i].Stop()
		nobodyRefused(t, r)
		record(t, k.name+" by the agent", rounds(), r)
		if r.ByGeneration[rounds()+1] == 0 {
			t.Errorf("the last release of %s has answered nobody: %v", k.name, r.ByGeneration)
		}
	}
}

// agent is one with programs of recipes.
type agent struct {
	t        *testing.T
	dir, cli string
	services strings.Builder
}

// add configures a program, and signs its first release.
func (a *agent) add(name, template, more string, command ...string) *kept {
	a.t.Helper()
	k := prepare(a.t, template)
	k.name, k.state = name, filepath.Join(a.dir, "state", name)
	path, err := exec.LookPath(command[0])
	must(a.t, err)
	var words []string
	for _, word := range append([]string{path}, command[1:]...) {
		words = append(words, strconv.Quote(k.filled(word)))
	}
	fmt.Fprintf(&a.services, "  - name: %s\n    command: [%s]\n    listen: [\"%s\"]\n    health: {path: /healthz}\n    release: {source: %s, keys: [%s]}\n"+
		"    policy: {probation: 500ms, bake: 500ms, drain_timeout: 20s}\n    %s\n",
		name, strings.Join(words, ", "), k.address, a.signed(name, k.release(1)), filepath.Join(a.dir, "ci.pub"), more)
	return k
}

// signed signs the release in a directory named by a number.
func (a *agent) signed(name, dir string) string {
	a.t.Helper()
	entries, err := os.ReadDir(dir)
	must(a.t, err)
	program := entries[0].Name() // which the command of the configuration does not start, and a release has one
	must(a.t, os.Chmod(filepath.Join(dir, program), 0o755))
	a.run("release", "sign", "--key", filepath.Join(a.dir, "ci"), "--name", name, "--version", filepath.Base(dir)+".0.0", "--command", program, dir)
	return dir
}

func (a *agent) start() {
	a.t.Helper()
	config := filepath.Join(a.dir, "agent.yaml")
	must(a.t, os.WriteFile(config, fmt.Appendf(nil, "runtime: %s\nstate: %s\nlog: %s\nservices:\n%s",
		filepath.Join(a.dir, "run"), filepath.Join(a.dir, "state"), filepath.Join(a.dir, "log"), &a.services), 0o644))
	log, err := os.Create(filepath.Join(a.dir, "agent.log"))
	must(a.t, err)
	cmd := exec.Command(a.cli, "agent", "--config", config)
	cmd.Stdout, cmd.Stderr = log, log
	must(a.t, cmd.Start())
	a.t.Cleanup(func() {
		defer log.Close()
		_ = exec.Command(a.cli, "--agent", a.socket(), "stop", "--all").Run()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if a.t.Failed() {
			text, _ := os.ReadFile(log.Name())
			a.t.Logf("%s", text)
		}
	})
}

func (a *agent) socket() string { return filepath.Join(a.dir, "run-agent", "agent.sock") }

// run runs the command line. Before the agent answers, what it says is empty.
func (a *agent) run(args ...string) string {
	a.t.Helper()
	out, err := exec.Command(a.cli, append([]string{"--agent", a.socket()}, args...)...).CombinedOutput()
	if err != nil && args[0] != "status" {
		a.t.Fatalf("handover %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}
