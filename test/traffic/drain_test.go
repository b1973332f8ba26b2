//go:build linux

package traffic

import (
	"bufio"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/test/internal/due"
)

// TestUnfinishedAnswersAreCutAtTheDrainDeadline and not before: one that is read slowly, one that nobody reads, and a stream that never
// ends. The connection of the first goes on with the next generation.
func TestUnfinishedAnswersAreCutAtTheDrainDeadline(t *testing.T) {
	t.Parallel()
	const drain = 8 * time.Second
	s := start(t, "HANDOVER_DRAIN_TIMEOUT="+drain.String())
	first := s.PID()
	slow, unread := s.dial(), s.dial()
	pad := strings.Repeat("x", 3000)
	const n = 5000 // 15 MB, more than the kernel holds
	for _, c := range []conn{slow, unread} {
		c.Send("GET /echo?n=%d HTTP/1.1\r\nHost: service\r\nX-Pad: %s\r\n\r\n", n, pad)
	}
	answer := slow.Head()
	unread.Head()
	stream := startLines(s.dial())
	cut := s.WatchFor(`msg="drain deadline: connections closed"`, "generation=1 ", "connections=2 ", `reason="nothing came within 8s"`)
	draining := s.WatchFor("to=draining")
	second := s.Next()

	lines := 0
	for input := bufio.NewReaderSize(answer.Body, 4096); ; lines++ {
		line, err := input.ReadString('\n')
		if err == io.EOF && line == "" {
			break
		}
		if err != nil || !strings.Contains(line, pad) {
			t.Fatalf("line %d of %d is %q, %v", lines, n, line, err)
		}
	}
	if lines != n {
		t.Errorf("the slow reader has %d lines of %d", lines, n)
	}
	s.follows(slow, second)
	stream.wants(10)

	if err := <-stream.ended; err == nil {
		t.Error("the stream ended as if it was whole")
	}
	closed := time.Now()
	due.Drained(t, "unfinished answers cut", s.Line(draining, "it does not drain"), s.Line(cut, "the cut is not logged"), closed, drain)
	if rest, _ := unread.Ended(); strings.HasSuffix(rest, "\r\n0\r\n\r\n") {
		t.Error("the answer that nobody read is whole: it was never held up")
	}
	s.AwaitExit(first)
	slow.IsOf(second)
}

// TestTunnelLivesInItsGeneration until it ends: CONNECT, over as many upgrades as there are.
func TestTunnelLivesInItsGeneration(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.dial()
	first := s.PID()
	c.Send("CONNECT elsewhere:80 HTTP/1.1\r\nHost: elsewhere:80\r\n\r\nat once\n")
	if line, err := c.ReadString('\n'); line != "HTTP/1.1 200 OK\r\n" {
		t.Fatalf("CONNECT is answered %q, %v", line, err)
	}
	c.ReadString('\n')
	c.hears("at once", first)
	s.Next()
	c.says("again", first)
	s.Replaced()
	c.says("and again", first)
	c.Conn.Close()
	s.AwaitExit(first)
}
