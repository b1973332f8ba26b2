//go:build linux

package livetls

import (
	"io"
	"syscall"
	"testing"
)

// TestServiceThatEndsClosesIdleConnections, also those that have come from the generation before and were not asked here, which net/http takes
// for new ones. Guard: conn.retires; without it the service ends at its deadline.
func TestServiceThatEndsClosesIdleConnections(t *testing.T) {
	t.Parallel()
	s := start(t, "HANDOVER_STOP_TIMEOUT=1m")
	v := s.visit()
	v.IsOf(s.PID())
	s.Replaced() // the connection has gone over
	s.Signal(s.PID(), syscall.SIGTERM)
	v.Hearing()
	if n, err := v.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the connection brings %d bytes, %v; want its end", n, err)
	}
}
