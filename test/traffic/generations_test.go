//go:build linux

package traffic

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/test/internal/journal"
)

// TestTenGenerationsWithClientsThatNeverLeave: each generation finishes what its own clients wait for, however many come
// after it, and idle connections do not stay behind with it.
func TestTenGenerationsWithClientsThatNeverLeave(t *testing.T) {
	t.Parallel()
	const upgrades, streamsEach, idleEach = 10, 2, 2
	s := start(t, "HANDOVER_MAX_DRAINING=10")
	type generation struct {
		pid     int
		streams []*lines
	}
	var old []generation
	var idle []conn
	pid := s.PID()
	for range upgrades {
		g := generation{pid: pid}
		for range streamsEach {
			l := startLines(s.dial())
			if l.pid != pid {
				t.Fatalf("process %d answers; want %d", l.pid, pid)
			}
			g.streams = append(g.streams, l)
		}
		for range idleEach {
			c := s.dial()
			c.IsOf(pid)
			idle = append(idle, c, s.dial()) // and one that never asked
		}
		old = append(old, g)
		pid = s.Next()
	}
	// So long that what a generation gives its handlers as it ends, a second, is over for all of them.
	old[upgrades-1].streams[0].wants(int(1500 * time.Millisecond / linesInterval))
	for _, g := range old {
		for _, l := range g.streams {
			l.wants(3)
		}
		if !s.lives(g.pid) {
			t.Errorf("process %d has ended before its streams", g.pid)
		}
	}
	for _, c := range idle {
		s.follows(c, pid)
	}
	for _, g := range old {
		for _, l := range g.streams {
			l.finish()
		}
		s.AwaitExit(g.pid)
	}
	for _, c := range idle {
		c.IsOf(pid)
	}
}

// follows asks on an idle connection until that process answers: it is moved soon after FINAL, and each answer of a process
// before is a good one, and no reason to stay.
func (s *service) follows(c conn, pid int) {
	s.t.Helper()
	for began := time.Now(); c.Who() != pid; {
		if time.Since(began) > patience {
			s.t.Fatalf("an idle connection was not moved to process %d", pid)
		}
	}
}

// TestUpgradeIsRefusedWhileTooManyDrain: and says which generations are in its way.
func TestUpgradeIsRefusedWhileTooManyDrain(t *testing.T) {
	t.Parallel()
	s := start(t, "HANDOVER_MAX_DRAINING=2")
	first := startLines(s.dial())
	second := s.Next()
	stays := startLines(s.dial())
	third := s.Next()

	refused := s.WatchFor(`msg="upgrade signal: no handover begins"`)
	s.Signal(third, sigUpgrade)
	line := s.Line(refused, "the upgrade was not refused")
	for _, named := range []string{
		"too many", fmt.Sprintf("generation 1 (pid %d)", first.pid), fmt.Sprintf("generation 2 (pid %d)", second),
	} {
		if !strings.Contains(line, named) {
			t.Errorf("refused by %q; want it to name %q", line, named)
		}
	}
	s.dial().IsOf(third)

	gone := s.WatchFor(`msg="draining generation is gone"`, "pid="+strconv.Itoa(first.pid), journal.By(third)) // second may know it earlier
	first.finish()
	s.Line(gone, "the first generation does not end")
	fourth := s.Next()
	stays.wants(3)
	stays.finish()
	s.dial().IsOf(fourth)
}

// lines is an answer of /lines that is being read. It lasts until the client ends the body of its request.
type lines struct {
	t     testing.TB
	pid   int
	more  chan struct{} // one for each line, as long as there is room
	end   func() error
	ended chan error
}

// startLines asks for lines on an HTTP/1.1 connection.
func startLines(c conn) *lines {
	c.T.Helper()
	c.Send("POST /lines HTTP/1.1\r\nHost: service\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n.\r\n")
	end := func() error {
		_, err := io.WriteString(c.Conn, "0\r\n\r\n")
		return err
	}
	return readLines(c.T, c.Head(), end, c.Hearing)
}

// openLines asks for lines with a client of net/http.
func (s *service) openLines(client *http.Client, base string) *lines {
	s.t.Helper()
	body, writing := io.Pipe()
	ctx, cancel := context.WithCancel(s.t.Context())
	s.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/lines", body)
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	return readLines(s.t, resp, writing.Close, func() {})
}

// readLines takes the first line, and reads on in the background; arm is called before each.
func readLines(t testing.TB, resp *http.Response, end func() error, arm func()) *lines {
	t.Helper()
	l := &lines{t: t, more: make(chan struct{}, 1000), end: end, ended: make(chan error, 1)}
	input := bufio.NewReader(resp.Body)
	if _, err := fmt.Fscanf(input, "%d %d\n", &l.pid, new(int)); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("lines: %s, %v", resp.Status, err)
	}
	go func() {
		defer resp.Body.Close()
		l.ended <- l.read(resp, input, arm)
	}()
	return l
}

// read checks that no line is lost, and that the last is the last that was sent.
func (l *lines) read(resp *http.Response, input *bufio.Reader, arm func()) error {
	for i := 0; ; i++ {
		arm()
		line, err := input.ReadString('\n')
		switch {
		case errors.Is(err, io.EOF) && line == "":
			if sent := resp.Trailer.Get("X-Lines"); sent != strconv.Itoa(i) {
				return fmt.Errorf("%d lines came; the trailer says %q", i, sent)
			}
			return nil
		case err != nil || line != strconv.Itoa(i)+"\n":
			return fmt.Errorf("line %d is %q, %w", i, line, err)
		}
		select {
		case l.more <- struct{}{}:
		default:
		}
	}
}

// wants waits for so many more lines.
func (l *lines) wants(n int) {
	l.t.Helper()
	for len(l.more) > 0 {
		<-l.more
	}
	for range n {
		select {
		case <-l.more:
		case err := <-l.ended:
			l.t.Fatalf("process %d: its lines ended: %v", l.pid, err)
		}
	}
}

// finish ends the lines.
func (l *lines) finish() {
	l.t.Helper()
	if err := l.end(); err != nil {
		l.t.Errorf("process %d: end its lines: %v", l.pid, err)
	}
	if err := <-l.ended; err != nil {
		l.t.Errorf("process %d: %v", l.pid, err)
	}
}
