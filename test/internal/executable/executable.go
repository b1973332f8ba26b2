// Package executable writes files that are to be executed.
package executable

import (
	"os"
	"syscall"
	"testing"
)

// Write holds off forks while the file is open: a child between fork and exec would hold it too, and it could not be executed
// (golang/go#22315).
func Write(t testing.TB, path string, content []byte, mode os.FileMode) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, content, mode); err != nil {
		t.Fatal(err)
	}
}

// Replace writes a file, and puts it at path at once.
func Replace(t testing.TB, path string, content []byte, mode os.FileMode) {
	t.Helper()
	Write(t, path+".next", content, mode)
	if err := os.Rename(path+".next", path); err != nil {
		t.Fatal(err)
	}
}

// Put puts a copy of a program at path at once.
func Put(t testing.TB, program, path string) {
	t.Helper()
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	Replace(t, path, content, 0o755)
}
