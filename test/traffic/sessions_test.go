//go:build linux

package traffic

import (
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/client"
)

// sessionService is the service with sessions of lines at a TCP address and at a path.
type sessionService struct {
	*service
	tcp, unix string
}

func startSessions(t *testing.T, env ...string) *sessionService {
	t.Helper()
	s := &sessionService{tcp: handovertest.FreeAddress(t), unix: filepath.Join(t.TempDir(), "s")}
	s.service = start(t, append([]string{"SESSIONS=tcp:" + s.tcp + " unix:" + s.unix}, env...)...)
	return s
}

// session is a client of one session of lines. It knows which count comes next.
type session struct {
	conn
	count int
}

func dialSession(t testing.TB, network, address string) *session {
	t.Helper()
	c, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return &session{conn{client.New(t, c, patience)}, 0}
}

// say sends a line and returns what it is answered by, with the next count.
func (s *session) say(format string, args ...any) (answer string) {
	s.T.Helper()
	s.Send(format+"\n", args...)
	answer, err := s.hear()
	if err != nil {
		s.T.Fatal(err)
	}
	return answer
}

func (s *session) hear() (answer string, err error) {
	s.Hearing()
	line, err := s.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("session after answer %d: %q, %w", s.count, line, err)
	}
	s.count++
	count, answer, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
	if count != strconv.Itoa(s.count) {
		return "", fmt.Errorf("answer %q; want the count %d", line, s.count)
	}
	return answer, nil
}

// who asks which process has the session.
func (s *session) who() (pid int) {
	s.T.Helper()
	pid, err := strconv.Atoi(s.say("who"))
	if err != nil {
		s.T.Fatal(err)
	}
	return pid
}

// follows waits until that process has the session.
func (s *session) follows(pid int) {
	s.T.Helper()
	for began := time.Now(); s.who() != pid; {
		if time.Since(began) > patience {
			s.T.Fatalf("the session did not go to process %d", pid)
		}
	}
}

// crowd are clients of sessions, each in a goroutine of its own until all are told to end.
type crowd struct {
	t       *testing.T
	all     sync.WaitGroup
	over    atomic.Bool
	answers atomic.Int64

	mu     sync.Mutex
	pauses []time.Duration // the longest wait for an answer, of each client
}

// join has a client say rounds of lines, as send does, until the crowd ends.
func (c *crowd) join(s *session, round func(*session) error) {
	c.all.Go(func() {
		defer s.Close()
		var longest time.Duration
		for !c.over.Load() {
			began, before := time.Now(), s.count
			if err := round(s); err != nil {
				c.t.Errorf("%s: %v", s.RemoteAddr(), err)
				return
			}
			longest = max(longest, time.Since(began))
			c.answers.Add(int64(s.count - before))
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.pauses = append(c.pauses, longest)
	})
}

// end tells how many lines were answered, and the longest time that a round took.
func (c *crowd) end() (answers int64, longest time.Duration) {
	c.over.Store(true)
	c.all.Wait()
	return c.answers.Load(), slices.Max(c.pauses)
}

// pipelines says many lines before it hears an answer, the last one in two parts.
func pipelines(s *session) error {
	const n = 20
	var lines strings.Builder
	for i := range n {
		fmt.Fprintf(&lines, "line %d of a batch\n", i)
	}
	all := lines.String()
	for _, part := range []string{all[:len(all)-7], all[len(all)-7:]} {
		if _, err := s.Conn.Write([]byte(part)); err != nil {
			return err
		}
	}
	for i := range n {
		if answer, err := s.hear(); err != nil || answer != fmt.Sprintf("line %d of a batch", i) {
			return fmt.Errorf("answer %d of a batch: %q, %w", i, answer, err)
		}
	}
	return nil
}

// dribbles says a line byte by byte.
func dribbles(s *session) error {
	const line = "byte by byte"
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for _, b := range []byte(line + "\n") {
		if _, err := s.Conn.Write([]byte{b}); err != nil {
			return err
		}
		<-tick.C
	}
	if answer, err := s.hear(); err != nil || answer != line {
		return fmt.Errorf("answer %q, %w", answer, err)
	}
	return nil
}

// asks says a line and waits for its answer, then a while for nothing.
func asks(s *session) error {
	if _, err := fmt.Fprintf(s.Conn, "after %d\n", s.count); err != nil {
		return err
	}
	want := fmt.Sprintf("after %d", s.count)
	if answer, err := s.hear(); err != nil || answer != want {
		return fmt.Errorf("answer %q, %w", answer, err)
	}
	return nil
}

// TestSessionsOutliveTenUpgrades over TCP and unix sockets: no connection closes, no line is lost or answered twice, whether the
// client pipelines, sends byte by byte, asks one by one or says nothing for long. It is not served by a generation that has left.
func TestSessionsOutliveTenUpgrades(t *testing.T) {
	t.Parallel()
	s := startSessions(t)
	c := &crowd{t: t}
	var silent []*session
	for i := range 40 {
		network, address := "tcp", s.tcp
		if i%2 == 1 {
			network, address = "unix", s.unix
		}
		one := dialSession(t, network, address)
		switch i / 2 % 4 {
		case 0:
			c.join(one, pipelines)
		case 1:
			c.join(one, dribbles)
		case 2:
			c.join(one, asks)
		case 3:
			silent = append(silent, one)
		}
	}
	for range 10 {
		pid := s.Replaced() // every session has left it
		for _, one := range silent[:len(silent)/2] {
			if by := one.who(); by != pid {
				t.Fatalf("the session is served by process %d; want %d", by, pid)
			}
		}
	}
	answers, longest := c.end()
	last := s.PID()
	for _, one := range silent {
		if by := one.who(); by != last {
			t.Errorf("the session is served by process %d; want %d", by, last)
		}
	}
	t.Logf("%d lines answered; the slowest round took %s", answers, longest)
}
