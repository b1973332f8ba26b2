package preflight

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// programs holds the builds that the tests examine, by name.
var programs = map[string]string{}

func TestMain(m *testing.M) {
	switch os.Getenv("PREFLIGHT_TEST_ROLE") {
	case "sleeper":
		_, _ = os.Stdin.Read(make([]byte, 1)) // until the test ends
		os.Exit(0)
	case "noexec":
		os.Exit(checkOnNoexecMount())
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "preflight")
	if err == nil {
		defer os.RemoveAll(dir)
		err = buildAll(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// foreignArch is of another machine than this process, of the same class.
func foreignArch() string {
	if runtime.GOARCH == "arm64" {
		return "amd64"
	}
	return "arm64"
}

func buildAll(dir string) error {
	for _, b := range []struct{ name, module, main, goos, goarch, text string }{
		{"incumbent", "example.com/shop", ".", "linux", runtime.GOARCH, "one"},
		{"next", "example.com/shop", ".", "linux", runtime.GOARCH, "two"},
		{"migrate", "example.com/shop", "./migrate", "linux", runtime.GOARCH, "one"},
		{"other", "example.com/bank", ".", "linux", runtime.GOARCH, "one"},
		{"foreign", "example.com/shop", ".", "linux", foreignArch(), "one"},
		{"narrow", "example.com/shop", ".", "linux", "386", "one"},
		{"mac", "example.com/shop", ".", "darwin", "arm64", "one"},
	} {
		source := filepath.Join(dir, "source-"+b.name)
		files := map[string]string{
			"go.mod":          "module " + b.module + "\n\ngo 1.26\n",
			"main.go":         "package main\n\nfunc main() { println(\"" + b.text + "\") }\n",
			"migrate/main.go": "package main\n\nfunc main() {}\n",
		}
		for name, text := range files {
			path := filepath.Join(source, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				return err
			}
		}
		programs[b.name] = filepath.Join(dir, b.name)
		cmd := exec.Command("go", "build", "-o", programs[b.name], b.main)
		cmd.Dir = source
		cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0", "GOOS="+b.goos, "GOARCH="+b.goarch)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", b.name, err, out)
		}
	}
	return nil
}

// place puts a file into a directory of the test's own.
func place(t *testing.T, name string, content []byte, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, content, mode))
	must(t, os.Chmod(path, mode))
	return path
}

func content(t *testing.T, program string) []byte {
	t.Helper()
	p, err := os.ReadFile(programs[program])
	must(t, err)
	return p
}

// process runs this test binary until the test ends.
func process(t *testing.T) int {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "PREFLIGHT_TEST_ROLE=sleeper", "GORACE=atexit_sleep_ms=0")
	stdin, err := cmd.StdinPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

// warned reports whether one of the warnings says text.
func warned(r Report, text string) bool {
	for _, w := range r.Warnings {
		if strings.Contains(w.Error(), text) {
			return true
		}
	}
	return false
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
