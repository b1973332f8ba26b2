//go:build linux

package traffic

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/handover-go/handover/test/internal/due"
)

// TestHijackedConnectionLivesInItsGeneration until it ends.
func TestHijackedConnectionLivesInItsGeneration(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.dial()
	c.Who()
	second := s.Replaced()
	c.hijack(second) // also where it had come from another generation
	third := s.Next()
	c.says("again", second)
	s.Next()
	c.says("and again", second)
	s.dial().hijack(s.PID())
	s.AwaitExit(third) // nothing holds it
	c.Conn.Conn.(*net.TCPConn).CloseWrite()
	c.Ended()
	s.AwaitExit(second)
}

// TestHijackedConnectionIsCutAtTheDrainDeadline and not before.
func TestHijackedConnectionIsCutAtTheDrainDeadline(t *testing.T) {
	t.Parallel()
	const drain = 4 * time.Second
	s := start(t, "HANDOVER_DRAIN_TIMEOUT="+drain.String())
	c := s.dial()
	first := s.PID()
	c.hijack(first)
	cut := s.WatchFor(`msg="drain deadline: connections closed"`, "generation=1 ", "connections=1 ")
	draining := s.WatchFor("to=draining")
	s.Next()
	c.says("after FINAL", first)
	_, closed := c.Ended()
	due.Drained(t, "hijacked connection cut", s.Line(draining, "it does not drain"), s.Line(cut, "the cut is not logged"), closed, drain)
	s.AwaitExit(first)
}

// hijack has the handler take the connection over.
func (c conn) hijack(pid int) {
	c.T.Helper()
	c.Send("GET /hijack HTTP/1.1\r\nHost: service\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\nat once\n")
	if resp := c.Head(); resp.StatusCode != 101 {
		c.T.Fatalf("hijack: answered %s", resp.Status)
	}
	c.hears("at once", pid)
	c.says("later", pid)
}

// says sends a line, and hears it from that process.
func (c conn) says(line string, pid int) {
	c.T.Helper()
	c.Send("%s\n", line)
	c.hears(line, pid)
}

func (c conn) hears(line string, pid int) {
	c.T.Helper()
	c.Hearing()
	got, err := c.ReadString('\n')
	if want := fmt.Sprintf("%d %s\n", pid, line); got != want {
		c.T.Fatalf("heard %q, %v; want %q", got, err, want)
	}
}

// TestHooksOfTheProgramAreCalled in every generation: ConnState, ConnContext and BaseContext are the program's.
func TestHooksOfTheProgramAreCalled(t *testing.T) {
	t.Parallel()
	s := start(t, "HOOKS=1")
	c := s.dial()
	first := s.PID()
	c.hooked(first, s.address, "new,active")
	c.hooked(first, s.address, "new,active,idle,active")
	second := s.Replaced()
	c.hooked(second, s.address, "new,active") // new to this process
	c.hooked(second, s.address, "new,active,idle,active")
}

func (c conn) hooked(pid int, base, states string) {
	c.T.Helper()
	c.Ask("/hooks")
	_, body := c.Response()
	if want := fmt.Sprintf("%d %s %s\n", pid, base, states); body != want {
		c.T.Fatalf("hooks answered %q; want %q", body, want)
	}
}

// TestDeadlinesOfTheHandlerHold also in the first request after a migration, long after the connection arrived.
func TestDeadlinesOfTheHandlerHold(t *testing.T) {
	t.Parallel()
	const deadline = 300 * time.Millisecond
	s := start(t, "READ_HEADER_TIMEOUT=1s", "READ_TIMEOUT=1m")
	first := s.PID()
	reads := s.dial()
	reads.IsOf(first)
	s.dial().deadline(first, deadline)
	second := s.Replaced()
	reads.StaysOpen(2 * time.Second)
	reads.deadline(second, deadline) // guard: conn.observe, "c.arrival = nil"; else it comes two seconds late

	ended := s.WatchFor(`msg="write ended"`)
	s.dial().Ask("/write?ms=300")
	var pid, ms int
	var exceeded bool
	line := s.Line(ended, "no write was ended by its deadline")
	if _, err := fmt.Sscanf(line, `msg="write ended" pid=%d exceeded=%t ms=%d`, &pid, &exceeded, &ms); err != nil || pid != second || !exceeded {
		t.Fatalf("write: %q, %v; want process %d to exceed its deadline", line, err, second)
	}
	due.Between(t, "write ended", time.Duration(ms)*time.Millisecond, deadline, deadline+due.Noise)
}

// deadline sends half a body to a handler that waits no longer for the rest.
func (c conn) deadline(pid int, d time.Duration) {
	c.T.Helper()
	c.Send("POST /read?ms=%d HTTP/1.1\r\nHost: service\r\nContent-Length: 10\r\n\r\nhalf", d.Milliseconds())
	_, body := c.Response()
	var by, ms int
	var exceeded bool
	if _, err := fmt.Sscan(body, &by, &exceeded, &ms); err != nil || by != pid || !exceeded {
		c.T.Fatalf("read: %q, %v; want process %d to exceed its deadline", body, err, pid)
	}
	due.Between(c.T, "read ended", time.Duration(ms)*time.Millisecond, d, d+due.Noise)
}

// TestGracefulEndLosesNoRequestInFlight: SIGTERM to a service that nobody succeeds.
func TestGracefulEndLosesNoRequestInFlight(t *testing.T) {
	t.Parallel()
	s := start(t)
	idle := s.dial()
	idle.Who()
	pid := s.Replaced() // the idle connection is one that was given

	streams := []*lines{startLines(s.dial()), startLines(s.dial())}
	body, head, slow, silent := s.dial(), s.dial(), s.dial(), s.dial()
	body.Send("POST /upload?id=body HTTP/1.1\r\nHost: service\r\nContent-Length: 8\r\nExpect: 100-continue\r\n\r\n")
	if resp := body.Head(); resp.StatusCode != 100 {
		t.Fatalf("before the body: %s; want 100 Continue", resp.Status)
	}
	body.Send("half")
	head.IsOf(pid)
	head.Send("GET /?id=head HTTP/1.1\r\nHo")
	slow.Ask("/slow?id=slow&ms=1000")
	noMore, gone := s.newcomers(4)

	ending := s.WatchFor("msg=ending")
	noMore()
	s.Signal(pid, sigEnd)
	s.Line(ending, "the service does not end")
	idle.Ended()
	body.Send("half")
	head.Send("st: service\r\n\r\n")
	silent.Ask("/?id=silent")
	for id, c := range map[string]conn{"body": body, "head": head, "slow": slow, "silent": silent} {
		resp, answer := c.Response()
		if resp.StatusCode != 200 || !strings.HasPrefix(answer, id+" "+strconv.Itoa(pid)) {
			t.Errorf("%s answered %s %q; want its answer", id, resp.Status, answer)
		}
		if asked := id == "head" || id == "silent"; asked && !resp.Close {
			t.Errorf("%s was not told that its connection ends", id)
		}
		c.Ended()
	}
	for _, l := range streams {
		l.wants(3)
		l.finish()
	}
	gone()
	s.AwaitExit(pid)
	if out := s.Output(100); strings.Contains(out, "service ended") {
		t.Error("the service ended with an error")
	}
}

// newcomers are clients that come, ask once and leave, again and again. Who had a connection before ending was called had
// its answer; the returned function waits for the last. Who comes later may find nobody.
func (s *service) newcomers(n int) (ending, gone func()) {
	var all sync.WaitGroup
	var ended atomic.Bool
	came := make(chan struct{}, n)
	for range n {
		all.Go(func() {
			arrived := sync.OnceFunc(func() { came <- struct{}{} })
			defer arrived()
			for !ended.Load() {
				c, err := net.DialTimeout("tcp", s.address, patience)
				late := ended.Load()
				if err == nil {
					err = askOnce(c)
				}
				if err != nil && !late {
					s.t.Errorf("newcomer: %v", err)
					return
				}
				arrived()
			}
		})
	}
	for range n {
		<-came
	}
	return func() { ended.Store(true) }, all.Wait
}

func askOnce(c net.Conn) error {
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write([]byte("GET /?id=new HTTP/1.1\r\nHost: service\r\nConnection: close\r\n\r\n")); err != nil {
		return err
	}
	b, err := io.ReadAll(c)
	answer := string(b)
	if err == nil && (!strings.HasPrefix(answer, "HTTP/1.1 200 ") || !strings.Contains(answer, "\r\n\r\nnew ")) {
		err = fmt.Errorf("answered %q", answer)
	}
	return err
}
