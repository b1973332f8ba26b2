package agent

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestLogShowsNothingButOutput: the directory is the service's user's, and who reads it may be root.
func TestLogShowsNothingButOutput(t *testing.T) {
	outside, dir := filepath.Join(t.TempDir(), "outside"), t.TempDir()
	err := errors.Join(
		os.WriteFile(outside, []byte("secret\n"), 0o600),
		os.WriteFile(filepath.Join(dir, "1.log"), []byte("one\ntwo\n"), 0o640),
		os.Symlink(outside, filepath.Join(dir, "2.log")),
		syscall.Mkfifo(filepath.Join(dir, "3.log"), 0o640), // nobody writes to it
		os.WriteFile(filepath.Join(dir, "4.log"), []byte("three\n"), 0o640),
	)
	if err != nil {
		t.Fatal(err)
	}
	l := &logs{dir: dir, at: map[string]int64{}}
	var shown bytes.Buffer
	if err := errors.Join(l.begin(2), l.copy(t.Context(), &shown, false)); err != nil {
		t.Fatal(err)
	}
	if got := shown.String(); got != "two\nthree\n" {
		t.Errorf("shown is %q", got)
	}
}
