package keeper

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

func TestEachProcessHasAFileOfItsOwn(t *testing.T) {
	var o output
	dir := filepath.Join(t.TempDir(), "log", "web")
	if err := o.set(dir); err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`^\d{8}T\d{6}\.\d{3}Z-\d{3}\.log$`)
	seen := make(map[string]bool)
	for range 1100 {
		f, path, err := o.open()
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Dir(path) != dir || !name.MatchString(filepath.Base(path)) || seen[path] {
			t.Fatalf("file %q", path)
		}
		seen[path] = true
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if f, path, err := new(output).open(); f != nil || path != "" || err != nil {
		t.Errorf("by default: %v, %q, %v", f, path, err)
	}
}

func TestOutputIsAppendedTo(t *testing.T) {
	var o output
	if err := o.set(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	f, path, err := o.open()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("before\n"); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("after\n"); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "after\n" {
		t.Errorf("%q, %v", text, err)
	}
	if info, err := f.Stat(); err != nil || info.Mode().Perm()&^0o640 != 0 {
		t.Errorf("mode %s, %v", info.Mode(), err)
	}
}

// The header is that of sd_journal_stream_fd(3), for the informational priority with prefixes.
func TestJournalIsGreeted(t *testing.T) {
	if got := journalHeader("web"); !bytes.Equal(got, []byte("web\n\n6\n1\n0\n0\n0\n")) {
		t.Errorf("%q", got)
	}
}

func TestOutputThatCannotBeIsAnError(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{"journald:", "journald:a\nb", self} {
		k, err := New(context.Background(), Config{
			Command: self, Name: "web", Output: out, RuntimeDir: t.TempDir() + "/run", StateDir: t.TempDir() + "/state",
		})
		if k != nil || err == nil {
			t.Errorf("output %q is none, and no error", out)
		}
	}
}
