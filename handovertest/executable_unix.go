//go:build unix

package handovertest

import (
	"os"
	"syscall"
)

// writeExecutable holds off forks while the file is open for writing: a child
// between fork and exec would hold it too, and executing it would fail with
// ETXTBSY (golang/go#22315).
func writeExecutable(name string, content []byte) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(name, content, 0o700)
}
