package platform

// MonotonicUsec is CLOCK_MONOTONIC in microseconds, as MONOTONIC_USEC in a RELOADING message to systemd wants it; 0
// where there is no systemd.
func MonotonicUsec() uint64 { return monotonicUsec() }
