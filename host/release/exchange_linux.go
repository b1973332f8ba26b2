package release

import (
	"os"

	"golang.org/x/sys/unix"
)

// exchange has two paths change places, in one step (renameat2(2)).
func exchange(one, other string) error {
	if err := unix.Renameat2(unix.AT_FDCWD, one, unix.AT_FDCWD, other, unix.RENAME_EXCHANGE); err != nil {
		return &os.LinkError{Op: "exchange", Old: one, New: other, Err: err}
	}
	return nil
}
