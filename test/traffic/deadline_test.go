//go:build linux

package traffic

import (
	"strings"
	"testing"
	"time"
)

// noise is how much later than due a connection may be closed on a busy machine. No bound forgives a close that is early:
// the server's clock starts after the client's.
const noise = 1500 * time.Millisecond

// TestIdleDeadlinesHoldAcrossMigration: to the client, deadlines go on as if one process had served it all along. Each
// guard named below was taken out once, and the subtest failed.
func TestIdleDeadlinesHoldAcrossMigration(t *testing.T) {
	// Guard: conn.arrivalDeadlineLocked, "case a.wait > 0", and conn.describe, which sets Wait. Without them nothing ever
	// closes the connection, as the next process's net/http sees a new one, to which IdleTimeout does not apply.
	t.Run("IdleTimeout", func(t *testing.T) {
		t.Parallel()
		const idle = 5 * time.Second
		s := start(t, "IDLE_TIMEOUT=5s")
		c := s.dial()
		asked := time.Now()
		first := c.answering()
		c.staysOpen(2 * time.Second)
		s.upgrade()
		s.AwaitExit(first) // the connection has gone to the second generation
		c.staysOpen(100 * time.Millisecond)
		_, closed := c.ended()
		between(t, "idle connection closed", closed.Sub(asked), idle, idle+noise)
	})

	// Guard: conn.arrivalDeadlineLocked, "default: return time.Time{}" (else ReadHeaderTimeout closes the idle connection),
	// and conn.hearLocked, "c.shift = time.Since(a.at)" (else a request that begins late is cut at its first byte).
	t.Run("ReadHeaderTimeout and ReadTimeout shorter than idle", func(t *testing.T) {
		t.Parallel()
		const header, whole = time.Second, 3 * time.Second
		s := start(t, "READ_HEADER_TIMEOUT=1s", "READ_TIMEOUT=3s", "IDLE_TIMEOUT=-1s") // idle for as long as it likes
		idle, halfHead, halfBody := s.dial(), s.dial(), s.dial()
		conns := []*client{idle, halfHead, halfBody}
		first := s.PID()
		for _, c := range conns {
			c.answeredBy(first)
		}
		idle.staysOpen(2 * time.Second)
		second := s.upgrade()
		s.AwaitExit(first)
		third := s.upgrade()
		s.AwaitExit(second)
		idle.staysOpen(whole + 200*time.Millisecond) // past both deadlines, counted from the arrival

		began := time.Now()
		halfHead.send("GET /?id=1 HT")
		halfBody.send("POST /upload?id=2 HTTP/1.1\r\nHost: service\r\nContent-Length: 10\r\n\r\nhalf ")
		idle.answeredBy(third)
		_, closed := halfHead.ended()
		between(t, "half a head cut", closed.Sub(began), header, header+noise)
		rest, closed := halfBody.ended()
		if !strings.HasPrefix(rest, "HTTP/1.1 400 ") || !strings.Contains(rest, "i/o timeout") {
			t.Errorf("half a body was answered %q; want the handler's report of a timeout", rest)
		}
		between(t, "half a body cut", closed.Sub(began), whole, whole+noise)
	})

	// Guard: given, "c.shift = -w.Age". Without it the time for the first head begins anew at each arrival.
	t.Run("ReadHeaderTimeout from the accept", func(t *testing.T) {
		t.Parallel()
		const header = 4 * time.Second
		s := start(t, "READ_HEADER_TIMEOUT=4s")
		first := s.PID()
		dialled := time.Now()
		silent, halfHead := s.dial(), s.dial()
		silent.staysOpen(2500 * time.Millisecond)
		s.upgrade()
		s.AwaitExit(first)
		silent.staysOpen(100 * time.Millisecond)
		halfHead.send("GET / HT") // the first bytes do not prolong it
		_, closed := silent.ended()
		between(t, "silent connection closed", closed.Sub(dialled), header, header+noise)
		_, closed = halfHead.ended()
		between(t, "half a head cut", closed.Sub(dialled), header, header+noise)
	})
}
