// Package due holds a service to the time at which it has to do something.
package due

import (
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/test/internal/client"
	"github.com/handover-go/handover/test/internal/journal"
	"github.com/handover-go/handover/test/internal/rig"
)

// Noise is how much later than due a connection may be closed on a busy machine. No bound forgives a close that is early: the server's
// clock starts after the client's.
const Noise = 1500 * time.Millisecond

// Drained holds a generation to its drain deadline, by the lines that say when it began to drain, and when it cut what it had not finished;
// closed is when its client saw that.
func Drained(t testing.TB, what, draining, cut string, closed time.Time, drain time.Duration) {
	t.Helper()
	began, ended := journal.Written(t, draining), journal.Written(t, cut)
	Between(t, what, ended.Sub(began)+time.Millisecond, drain, drain+Noise) // both are written to the millisecond
	Between(t, what+", for its client", closed.Sub(began), drain, ended.Sub(began)+Noise)
}

// Between fails the test if what began at an instant took less or more time.
func Between(t testing.TB, what string, took, least, most time.Duration) {
	t.Helper()
	t.Logf("%s after %s", what, took)
	if took < least || took > most {
		t.Errorf("%s after %s; want %s to %s", what, took, least, most)
	}
}

// AcrossUpgrades holds services to the deadlines of net/http: to the client they go on as if one process had served it all along.
func AcrossUpgrades(t *testing.T, start func(t *testing.T, env ...string) (s *rig.Run, dial func() *client.Conn)) {
	t.Run("IdleTimeout", func(t *testing.T) {
		t.Parallel()
		const idle = 9 * time.Second
		s, dial := start(t, "IDLE_TIMEOUT="+idle.String())
		c := dial()
		asked := time.Now()
		c.IsOf(s.PID())
		c.StaysOpen(2 * time.Second)
		s.Replaced()
		s.Replaced()
		c.StaysOpen(100 * time.Millisecond)
		_, closed := c.Ended()
		Between(t, "idle connection closed", closed.Sub(asked), idle, idle+Noise)
	})

	t.Run("ReadHeaderTimeout and ReadTimeout shorter than idle", func(t *testing.T) {
		t.Parallel()
		const header, whole = 2 * time.Second, 3 * time.Second
		s, dial := start(t, "READ_HEADER_TIMEOUT="+header.String(), "READ_TIMEOUT="+whole.String(), "IDLE_TIMEOUT=-1s") // idle for as long as it likes
		first := s.PID()
		asking := func() *client.Conn { c := dial(); c.IsOf(first); return c } // at once, within header
		idle, halfHead, halfBody := asking(), asking(), asking()
		idle.StaysOpen(whole)
		s.Replaced()
		last := s.Replaced()
		idle.StaysOpen(whole + 200*time.Millisecond) // past both deadlines, counted from the arrival

		began := time.Now()
		halfHead.Send("GET /?id=1 HT")
		halfBody.Send("POST /upload?id=2 HTTP/1.1\r\nHost: service\r\nContent-Length: 10\r\n\r\nhalf ")
		idle.IsOf(last)
		_, closed := halfHead.Ended()
		Between(t, "half a head cut", closed.Sub(began), header, header+Noise)
		rest, closed := halfBody.Ended()
		if !strings.HasPrefix(rest, "HTTP/1.1 400 ") || !strings.Contains(rest, "i/o timeout") {
			t.Errorf("half a body was answered %q; want the handler's report of a timeout", rest)
		}
		Between(t, "half a body cut", closed.Sub(began), whole, whole+Noise)
	})

	t.Run("ReadHeaderTimeout from the accept", func(t *testing.T) {
		t.Parallel()
		const header = 7 * time.Second
		s, dial := start(t, "READ_HEADER_TIMEOUT="+header.String())
		dialled := time.Now()
		silent, halfHead := dial(), dial()
		silent.StaysOpen(2 * time.Second)
		s.Replaced()
		silent.StaysOpen(100 * time.Millisecond)
		halfHead.Send("GET / HT") // the first bytes do not prolong it
		_, closed := silent.Ended()
		Between(t, "silent connection closed", closed.Sub(dialled), header, header+Noise)
		_, closed = halfHead.Ended()
		Between(t, "half a head cut", closed.Sub(dialled), header, header+Noise)
	})
}
