package handovertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

const buildTimeout = 5 * time.Minute

// builds keeps what this test binary has built, in memory: a directory would
// outlive it.
var builds = struct {
	sync.Mutex
	programs map[string]*program
}{programs: map[string]*program{}}

type program struct {
	once  sync.Once
	bytes []byte
	err   error
}

// Build builds the main package pkg, an import path or one relative to the
// test's directory, and returns the path of an executable in t.TempDir. Flags
// are for "go build". The build has the race detector when the test has it.
// A test binary builds the same only once.
func Build(t testing.TB, pkg string, flags ...string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatalf("build %s: %v", pkg, err)
	}
	key := strings.Join(append([]string{dir, pkg}, flags...), "\x00")
	builds.Lock()
	p := builds.programs[key]
	if p == nil {
		p = &program{}
		builds.programs[key] = p
	}
	builds.Unlock()
	p.once.Do(func() { p.bytes, p.err = goBuild(pkg, flags) })
	if p.err != nil {
		t.Fatalf("build %s: %v", pkg, p.err)
	}
	executable := filepath.Join(t.TempDir(), path.Base(filepath.ToSlash(pkg)))
	if runtime.GOOS == "windows" {
		executable += ".exe"
	}
	if err := writeExecutable(executable, p.bytes); err != nil {
		t.Fatalf("build %s: %v", pkg, err)
	}
	return executable
}

func goBuild(pkg string, flags []string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "handovertest-build-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	output := filepath.Join(dir, "program")
	args := []string{"build", "-o", output}
	if raceEnabled {
		args = append(args, "-race")
	}
	args = append(append(args, flags...), pkg)
	ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
	defer cancel()
	if said, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, said)
	}
	return os.ReadFile(output)
}

// replaceExecutable puts the executable from at the place of to, atomically.
func replaceExecutable(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	next := to + ".next"
	if err := writeExecutable(next, content); err != nil {
		return err
	}
	return os.Rename(next, to)
}
