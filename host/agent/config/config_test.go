package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var rewrite = flag.Bool("rewrite", false, "write what each wrong configuration is answered by")

// world is a directory with all that the files in testdata speak of as DIR.
func world(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range []struct {
		name, text string
		mode       os.FileMode
	}{
		{"server", "#!/bin/sh\n", 0o755}, {"text", "text", 0o644}, {"key.pub", "key", 0o644},
		{"secret", "secret", 0o600}, {"open-secret", "secret", 0o644}, {"empty-secret", "", 0o600},
	} {
		path := filepath.Join(dir, f.name)
		if err := os.WriteFile(path, []byte(f.text), f.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, f.mode); err != nil { // whatever the umask
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// parsed is what an agent of root takes.
func parsed(dir, text string, environment ...string) (Config, error) {
	return parse("agent.yaml", []byte(strings.ReplaceAll(text, "DIR", dir)), environment, 0)
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func good(t *testing.T, dir, text string) Config {
	t.Helper()
	c, err := parsed(dir, text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What each kind of wrong configuration is answered by is beside it in testdata: go test ./agent/config -rewrite
func TestEveryFaultIsToldWithItsPlaceAndWhatWasExpected(t *testing.T) {
	dir := world(t)
	files, err := filepath.Glob("testdata/wrong/*.yaml")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d files of wrong configuration, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c, err := parsed(dir, string(text))
			if err == nil {
				t.Fatal("was taken")
			}
			if !reflect.ValueOf(c).IsZero() {
				t.Errorf("a part of it was taken: %+v", c)
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".txt"
			got := strings.ReplaceAll(err.Error(), dir, "DIR") + "\n"
			if *rewrite {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil || got != string(want) {
				t.Errorf("%v\ngot\n%s\nwant\n%s", err, got, want)
			}
		})
	}
}

func TestConfigurationIsRead(t *testing.T) {
	c := good(t, world(t), `
runtime: /run/h
control:
  access: {operators: ["uid:1000", "cn:deploy"]}
services:
  - name: shop
    command: [bin/shop, -http, :8080]
    args: [--fast, 1.10]
    env: {PORT: 8080, EMPTY: ""}
    limits: {nofile: 1024:4096, core: unlimited, memlock: 65536}
    release: {source: "oci://registry.example/shop:stable", keys: [DIR/key.pub]}
    watch: true
    checks:
      - http: http://127.0.0.1:8080/healthz
        status: 200-299,404
      - tcp: /run/shop.sock
        interval: 2s
      - http: https://127.0.0.1:8443/
    policy: &usual
      bake: 90s
      rss: {max: 512MiB, ratio: 1.5}
    hooks:
      - {on: [before], exec: [DIR/server, now], veto: true}
      - {on: [kept, returned], url: "https://hooks.example/handover", secret: DIR/secret}
  - name: chat
    command: [DIR/server]
    listen: [":9000"]
    policy: *usual
    after: [shop]
`)
	shop, chat := c.Services[0], c.Services[1]
	for _, want := range []struct{ got, want any }{
		{c.Control.Socket, "/run/h-agent/agent.sock"},
		{c.Control.Access.Operators, []string{"uid:1000", "cn:deploy"}},
		{shop.Args, []string{"--fast", "1.10"}},
		{shop.Env, map[string]string{"PORT": "8080", "EMPTY": ""}},
		{shop.Limits, Limits{"nofile": {1024, 4096}, "core": {Unlimited, Unlimited}, "memlock": {65536, 65536}}},
		{shop.Limits["nofile"].String() + " " + shop.Limits["core"].String(), "1024:4096 unlimited"},
		{shop.Checks[0].Status, Statuses{{200, 299}, {404, 404}}},
		{[]string{shop.Checks[0].Name, shop.Checks[1].Name, shop.Checks[2].Name}, []string{"http", "tcp", "http-2"}},
		{shop.Checks[1].Timeout, 2 * time.Second},
		{shop.Checks[2].Timeout, 5 * time.Second},
		{shop.Policy.Bake, 90 * time.Second},
		{shop.Policy.RSS, Ceiling[Size]{512 << 20, 1.5}},
		{shop.Policy.DrainTimeout, time.Hour},
		{[]string{shop.Hooks[0].Name, shop.Hooks[1].Name}, []string{"server", "hooks.example"}},
		{shop.Hooks[0].Failure, FailureVetoes},
		{chat.Policy.RSS, shop.Policy.RSS},
		{chat.Policy.DrainTimeout, 30 * time.Second},
		{chat.Output.MaxSize, Size(64 << 20)},
	} {
		if !reflect.DeepEqual(want.got, want.want) {
			t.Errorf("got %v, want %v", want.got, want.want)
		}
	}
}

func TestEmptyFileIsAnAgentWithoutServices(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n", "services:\n"} {
		if c := good(t, "", text); len(c.Services) != 0 || c.Runtime == "" || c.State == "" || c.Log == "" {
			t.Errorf("%q: %+v", text, c)
		}
	}
}

func TestEnvironmentComesBeforeTheFile(t *testing.T) {
	c, err := parsed("", "state: /file\nruntime: /file\n", "HANDOVER_AGENT_STATE=/variable", "HANDOVER_AGENT_RUNTIME=", "HANDOVER_AGENT_CONTROL_ACCESS_VIEWERS=uid:1,uid:2")
	if err != nil || c.State != "/variable" || c.Runtime != "/file" || !reflect.DeepEqual(c.Control.Access.Viewers, []string{"uid:1", "uid:2"}) {
		t.Errorf("%+v, %v", c, err)
	}
	_, err = parsed("", "state: /file\n", "HANDOVER_AGENT_STATE=variable", "HANDOVER_AGENT_CONTROL_ACCESS_VIEWERS=uid:1,nobody")
	const want = `HANDOVER_AGENT_STATE: state: "variable": give an absolute path
HANDOVER_AGENT_CONTROL_ACCESS_VIEWERS: control.access.viewers[1]: "nobody": give user:NAME, group:NAME, uid:NUMBER, gid:NUMBER, cn:NAME or uri:URI`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestAgentOfAUserStartsNobodyElse(t *testing.T) {
	text := "services:\n  - {name: shop, command: [" + world(t) + "/server], user: 4711, groups: [4711]}\n"
	_, err := parse("agent.yaml", []byte(text), nil, 1000)
	if err == nil || !strings.Contains(err.Error(), `services[0].user: "4711": only an agent of root`) || !strings.Contains(err.Error(), "services[0].groups: only an agent of root") {
		t.Errorf("got %v", err)
	}
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/1000")
	t.Setenv("XDG_STATE_HOME", "/home/me/state")
	c, err := parse("agent.yaml", nil, nil, 1000)
	if err != nil || c.Control.Socket != "/run/user/1000/handover-agent/agent.sock" || c.Log != "/home/me/state/handover/log" {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestServiceIsNotNamedAsTheLogLies: what the keeper keeps, in a directory that the service's user owns, would lie among the output of all.
// TestTakeoverSocketOfAnotherIdentityIsMeasuredWhereItLies: beside the control socket, and not in the runtime directory. Guard: the path that
// validation.identity measures. The limit is that of unix(7), 107 bytes.
func TestTakeoverSocketOfAnotherIdentityIsMeasuredWhereItLies(t *testing.T) {
	dir := "/" + strings.Repeat("d", 80)
	for identity, longest := range map[string]int{"user: '65534'": 10, "user: '0'": 14, "groups: ['0']": 14} {
		for name, fits := range map[string]bool{strings.Repeat("n", longest): true, strings.Repeat("n", longest+1): false} {
			_, err := parsed("", "runtime: /r\ncontrol: {socket: "+dir+"/agent.sock}\nservices: [{name: "+name+", command: [/bin/sh], "+identity+"}]\n")
			if fits && err != nil || !fits && (err == nil || !strings.Contains(err.Error(), "108 bytes")) {
				t.Errorf("%s, a name of %d bytes: %v", identity, len(name), err)
			}
		}
	}
}

func TestServiceIsNotNamedAsTheLogLies(t *testing.T) {
	dir := world(t)
	for log, ok := range map[string]bool{"/var/lib/handover/log/": false, "/var/log/handover": true} {
		if _, err := parsed(dir, "log: "+log+"\nservices:\n  - name: log\n    command: [DIR/server]"); (err == nil) != ok {
			t.Errorf("%s: %v", log, err)
		}
	}
}

func TestFileThatCannotBeReadIsToldFromAWrongOne(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "agent.yaml"))
	var faults Faults
	if err == nil || errors.As(err, &faults) || !strings.HasPrefix(err.Error(), "read configuration") {
		t.Errorf("got %v", err)
	}
}

func TestServicesStartInWavesAfterThoseTheyNeed(t *testing.T) {
	c := good(t, world(t), `
services:
  - {name: shop, command: [DIR/server], after: [database, cache]}
  - {name: cache, command: [DIR/server], after: [database]}
  - {name: database, command: [DIR/server]}
  - {name: mail, command: [DIR/server]}
`)
	if got, want := c.StartOrder(), [][]string{{"database", "mail"}, {"cache"}, {"shop"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestSizeIsWrittenAsItIsRead(t *testing.T) {
	for _, text := range []string{"1B", "1000B", "1KiB", "1536KiB", "64MiB", "2GiB", "1TiB"} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s.String() != text {
			t.Errorf("%s: %s, %v", text, s, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/wrong/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse("agent.yaml", text, nil)
		var faults Faults
		wrong := errors.As(err, &faults)
		if wrong == (err == nil) || wrong && len(faults) == 0 {
			t.Fatalf("neither taken nor refused: %v", err)
		}
		for _, one := range faults {
			if one.Expected == "" || one.Line < 1 || one.Line > 2+strings.Count(string(text), "\n")+strings.Count(string(text), "\r") {
				t.Errorf("of no use: %q in line %d", one, one.Line)
			}
		}
		if wrong && !reflect.ValueOf(c).IsZero() {
			t.Error("a part of it was taken")
		}
		if changes := Diff(c, c); !changes.None() {
			t.Errorf("differs from itself: %+v", changes)
		}
	})
}
