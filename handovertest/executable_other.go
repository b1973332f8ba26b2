//go:build !unix

package handovertest

import "os"

func writeExecutable(name string, content []byte) error {
	return os.WriteFile(name, content, 0o700)
}
