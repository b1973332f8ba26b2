package builds

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const roleVariable = "HANDOVER_BUILDS_TEST_ROLE"

// roles are what the test binary does when it is run again: as a build that is kept, or as a process that keeps builds.
var roles = map[string]func(args []string) error{
	"hello":    hello,
	"putting":  putForEver,
	"confined": putConfined,
}

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := roles[role](os.Args[1:]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// hello says that it runs, and what came with descriptor 3 if anything.
func hello([]string) error {
	line, _ := bufio.NewReader(os.NewFile(3, "given")).ReadString('\n')
	fmt.Println("hello", strings.TrimSpace(line))
	return nil
}

func again(role, path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role, "GORACE=atexit_sleep_ms=0")
	return cmd
}

// wantRuns starts a build with descriptor 3 given to it.
func wantRuns(t *testing.T, b Build) {
	t.Helper()
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	_, err = w.WriteString("friend\n")
	must(t, err)
	must(t, w.Close())
	cmd := again("hello", b.Path)
	cmd.ExtraFiles = []*os.File{r}
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "hello friend\n" {
		t.Errorf("run %s: %v\n%s", b.Path, err, out)
	}
}

// deploy puts a copy of this test's program somewhere.
func deploy(t *testing.T) string {
	t.Helper()
	p, err := os.ReadFile("/proc/self/exe")
	must(t, err)
	return file(t, "server", string(p))
}

func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, []byte(content), 0o755))
	return path
}

func newStore(t *testing.T, c Config) *Store {
	t.Helper()
	return reopen(t, filepath.Join(t.TempDir(), "builds"), c)
}

func reopen(t *testing.T, dir string, c Config) *Store {
	t.Helper()
	s, err := Open(dir, c)
	must(t, err)
	t.Cleanup(s.Close)
	return s
}

func put(t *testing.T, s *Store, content string) Build {
	t.Helper()
	b, err := s.Put(file(t, "server", content))
	must(t, err)
	return b
}

// wantOnly has the store, in memory and on disk, hold these builds and nothing else.
func wantOnly(t *testing.T, s *Store, want ...Build) {
	t.Helper()
	entries, err := os.ReadDir(s.dir)
	must(t, err)
	if len(s.List()) != len(want) || len(entries) != len(want)+1 { // the lock
		t.Errorf("%d builds, entries %v; want %d", len(s.List()), entries, len(want))
	}
	for _, b := range want {
		if err := s.Verify(b.Digest); err != nil {
			t.Error(err)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
