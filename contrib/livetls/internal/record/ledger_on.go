//go:build handoverfault

package record

import (
	"crypto/sha256"
	"fmt"
	"os"
	"sync"
)

// sealed is the ledger, in the file that HANDOVER_SEALED names; nil without one. It is open as long as the process lives.
var sealed = sync.OnceValue(func() *os.File {
	path := os.Getenv("HANDOVER_SEALED")
	if path == "" {
		return nil
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(fmt.Sprintf("open ledger of sealed records: %v", err))
	}
	return file
})

// note writes down what is about to be sealed: a digest of the secret, the number, and the process. The line is there before the record is, so
// that none is missing of a process that is killed; and it is one write, which goes to the ledger's end whole, whoever else writes.
func (h *Half) note() {
	file := sealed()
	if file == nil {
		return
	}
	digest := sha256.Sum256(h.secret[:h.suite.secretSize])
	if _, err := fmt.Fprintf(file, "%x %d %d\n", digest[:16], h.seq, os.Getpid()); err != nil {
		panic(fmt.Sprintf("write ledger of sealed records: %v", err))
	}
}
