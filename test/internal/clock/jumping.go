//go:build jumpingclock && linux

package clock

import (
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"
)

func init() {
	if err := follow(os.Getenv(Variable)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// follow has the clock be what the file says, now and later.
func follow(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("follow a clock: %w", err)
	}
	defer file.Close()
	b, err := syscall.Mmap(int(file.Fd()), 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("follow a clock: %w", err)
	}
	time.Ahead = (*int64)(unsafe.Pointer(&b[0]))
	return nil
}
