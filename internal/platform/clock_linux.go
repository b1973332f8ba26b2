package platform

import "golang.org/x/sys/unix"

func monotonicUsec() uint64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0 // cannot happen: the clock is in every kernel and the pointer is good
	}
	return uint64(t.Nano()) / 1000
}
