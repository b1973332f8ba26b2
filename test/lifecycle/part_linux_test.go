package lifecycle

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/test/internal/client"
	"github.com/handover-go/handover/test/internal/journal"
	"github.com/handover-go/handover/test/internal/rig"
)

// part is how a speaker plays a successor: as a good one would, but for what it says here.
type part struct {
	returns wire.Kind    // on this frame it asks to be taken back
	breaks  wire.Kind    // on this frame it waits to be told, closes its link, and lives on
	holds   wire.Kind    // this frame it sends when it is told to go on, not before
	verdict wire.Verdict // on connections that it is sent; on Retry it ends
}

var parts = map[string]part{
	"holds IMPORTED":          {holds: wire.KindImported},
	"holds SERVING":           {holds: wire.KindServing, verdict: wire.Refused},
	"holds RETURNED":          {returns: wire.KindPing, holds: wire.KindReturned},
	"breaks off in probation": {breaks: wire.KindPing},
	"returns at FINAL":        {returns: wire.KindFinal, verdict: wire.Refused},
	"retries and ends":        {verdict: wire.Retry},
}

// play goes through a handover until one side has gone.
func (s *speaker) play(p part) error {
	told := bufio.NewReader(os.Stdin)
	say := func(kind wire.Kind, known fields) error {
		if kind == p.holds {
			if _, err := told.ReadString('\n'); err != nil {
				return err
			}
		}
		return s.say(kind, known)
	}
	if err := say(wire.KindAdopted, fields{"adopted": []int{0}}); err != nil {
		return err
	}
	if err := say(wire.KindReady, nil); err != nil {
		return err
	}
	for {
		f, err := s.link.Receive()
		if err != nil {
			return err
		}
		for _, fd := range f.Descriptors {
			_ = platform.CloseFD(fd)
		}
		switch f.Kind() {
		case p.breaks:
			if _, err := told.ReadString('\n'); err != nil {
				return err
			}
			if err := s.link.Close(); err != nil {
				return err
			}
			_, err := io.Copy(io.Discard, told)
			return err
		case p.returns:
			err = s.say(wire.KindReturn, fields{"reason": "seen enough"})
		}
		if err != nil {
			return err
		}
		switch m := f.Message.(type) {
		case *wire.Carry:
			err = say(wire.KindImported, nil)
		case *wire.Commit:
			err = say(wire.KindServing, nil)
		case *wire.Ping:
			err = say(wire.KindPong, fields{"seq": m.Seq})
		case *wire.Resume:
			err = say(wire.KindReturned, nil)
		case *wire.Conns:
			err = s.judge(m, p.verdict)
			if p.verdict == wire.Retry {
				return err
			}
		case *wire.Resumed:
			return say(wire.KindGone, nil)
		case *wire.Gone, *wire.Abort:
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// judged is what a speaker says of each connection that was captured for it.
const judged = "has a connection"

// judge gives the same verdict on every connection of a batch.
func (s *speaker) judge(m *wire.Conns, v wire.Verdict) error {
	answer := &wire.Verdicts{}
	for _, c := range m.Conns {
		fmt.Println(judged)
		answer.Verdicts = append(answer.Verdicts, wire.ConnVerdict{ID: c.ID, Verdict: v})
	}
	return s.link.Send(s.attempt, answer)
}

// awaitConns waits until it was sent that many connections: what their clients ask now waits for its verdict.
func (s *speaking) awaitConns(n int) {
	s.r.t.Helper()
	s.r.Eventually(itoa(n)+" connections sent to the speaker", func() (any, bool) {
		said := s.said.String()
		return said, strings.Count(said, judged) == n
	})
}

// goOn has it send what it holds.
func (s *speaking) goOn() {
	s.r.t.Helper()
	_, err := fmt.Fprintln(s.stdin)
	must(s.r.t, err)
}

// TestNobodyLeftToFollowToAfterARetry has the successor answer "retry", and die before connections are offered again: they stay
// where they are, and their clients are asked to leave.
func TestNobodyLeftToFollowToAfterARetry(t *testing.T) {
	t.Parallel()
	r := named(t)
	incumbent, idle := r.PID(), r.dial()
	idle.IsOf(incumbent)
	died := r.WatchFor(journal.By(incumbent), "from=draining", `event="peer dead"`)
	if said, status := r.speak("retries and ends", 0).wait(); status != 0 {
		t.Fatalf("the speaker failed: %s\n%s", said, r.Output(40))
	}
	r.Line(died)
	// Past the time for which connections rest after a RETRY. Captured then, with nobody to send them to, they would come
	// back to be captured again, and never be read.
	idle.StaysOpen(500 * time.Millisecond)
	idle.IsAskedToLeave(incumbent)
	r.AwaitExit(incumbent)
}

// TestWishToReturnThatCrossesFinalBreaksNothing has the successor ask to be taken back when it is too late: the incumbent drains as
// after any handover.
func TestWishToReturnThatCrossesFinalBreaksNothing(t *testing.T) {
	t.Parallel()
	r := named(t)
	incumbent, idle := r.PID(), r.dial()
	idle.IsOf(incumbent)
	final, left := r.WatchFor(`msg="handover final"`), r.WatchFor(journal.By(incumbent), "from=draining", "event=drained")
	s := r.speak("returns at FINAL", 0)
	r.Line(final)
	s.awaitConns(1)
	idle.StaysOpen(100 * time.Millisecond)
	idle.IsAskedToLeave(incumbent) // the speaker refused it
	r.Line(left)
	r.AwaitExit(incumbent)
	if said, status := s.wait(); status != 0 {
		t.Errorf("the speaker failed: %s", said)
	}
	if out := r.Output(1 << 20); strings.Contains(out, "unexpected frame") {
		t.Errorf("a RETURN that crossed FINAL broke the link:\n%s", out)
	}
}

// TestPipelinedOnARefusedConnectionIsAnsweredToTheLast has clients whose connections cannot follow, as the successor refuses them, send
// several requests at once: only the last answer asks them to leave.
func TestPipelinedOnARefusedConnectionIsAnsweredToTheLast(t *testing.T) {
	t.Parallel()
	r := named(t)
	incumbent, final := r.PID(), r.WatchFor(`msg="handover final"`)
	clients := map[string]*client.Conn{}
	for name := range pipelined {
		c := r.dial()
		c.IsOf(incumbent)
		clients[name] = c
	}
	s := r.speak("returns at FINAL", 0)
	r.Line(final)
	s.awaitConns(len(clients))
	for name, requests := range pipelined {
		c := clients[name]
		c.StaysOpen(100 * time.Millisecond) // refused meanwhile
		c.Send("%s", strings.Join(requests, ""))
		for i := range requests {
			resp, body := c.Response()
			if resp.StatusCode != http.StatusOK {
				t.Fatalf("%s: answer %d of %d: %s %q", name, i+1, len(requests), resp.Status, body)
			}
			if last := i == len(requests)-1; resp.Close && !last {
				t.Fatalf("%s: answer %d of %d is the last", name, i+1, len(requests))
			} else if last && !resp.Close && name != "unusual" { // it cannot be told from one that more is behind
				t.Errorf("%s: the client is not asked to leave", name)
			}
		}
		c.Close()
	}
	r.AwaitExit(incumbent)
	s.wait()
}

var pipelined = map[string][]string{
	"plain":   {"GET /?id=1 HTTP/1.1\r\nHost: a\r\n\r\n", "GET /?id=2 HTTP/1.1\r\nHost: a\r\n\r\n"},
	"uploads": {"POST /upload?id=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "POST /upload?id=2 HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc"},
	"unusual": {"GET /?id=1 HTTP/1.1\r\nHost:a\r\n\r\n", "GET /?id=2 HTTP/1.1\r\nHost:  a\r\nX: y \r\n\r\n", "GET /?id=3 HTTP/1.1\r\nHost:a\r\n\r\n"},
	"a full buffer": { // net/http's, so that the second waits in the kernel
		"GET /?id=1 HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 4096-len("GET /?id=1 HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n")) + "\r\n\r\n",
		"GET /?id=2 HTTP/1.1\r\nHost: a\r\n\r\n",
	},
	"many keys": {"GET /?id=1 HTTP/1.1\r\nHost: a\r\nAccept: b\r\nAccept: c\r\nCookie: d\r\n\r\n", "GET /?id=2 HTTP/1.1\r\nHost: a\r\nX-y: z\r\n\r\n"},
}

// TestGenerationThatWasTakenBackKeepsItsNumber has one drain when the next begins.
func TestGenerationThatWasTakenBackKeepsItsNumber(t *testing.T) {
	t.Parallel()
	r := named(t, "HANDOVER_PROBATION=3s")
	r.Swap(rig.Build(t, "failing"))
	serves, outcome := r.WatchFor(proving), r.outcome()
	r.begin()
	second, held := journal.Number(t, r.Line(serves), "pid"), client.Hold(t, r.address, patience)
	r.get("/?id=fail")
	wantReason(t, r.Line(outcome), resumed, "background work has no luck")
	r.assertStatus(1, wire.Drainer{Generation: 2, PID: second})
	r.Swap(rig.Build(t, ""))
	final := r.WatchFor(succeeded)
	r.begin()
	if line := r.Line(final); journal.Number(t, line, "generation") != 3 {
		t.Errorf("%q, want generation 3: number 2 was given away", line)
	}
	r.assertStatus(3, wire.Drainer{Generation: 2, PID: second})
	held.Send("body")
	held.AnswerBy(second)
}

// assertStatus checks which generation serves, and that the other drains.
func (r *run) assertStatus(generation int, draining wire.Drainer) {
	r.t.Helper()
	r.Eventually("a status", func() (any, bool) {
		reply := r.ask(&wire.Status{})
		s := reply.Status
		if s == nil || s.Generation != generation {
			return reply, false // of a generation that was asked as it left
		}
		for _, d := range s.Draining {
			if d.PID == draining.PID {
				if d != draining {
					r.t.Fatalf("process %d drains as generation %d, want %d", d.PID, d.Generation, draining.Generation)
				}
				return s, true
			}
		}
		return s, false
	})
}

// TestUpgradeOfAGenerationThatStartsIsNotReady asks a successor before Run: a handover is under way until its incumbent dies, and
// then there is none.
func TestUpgradeOfAGenerationThatStartsIsNotReady(t *testing.T) {
	t.Parallel()
	r := start(t)
	incumbent := r.PID()
	r.Swap(rig.Build(t, "impatient"))
	waits := r.WatchFor(`msg="waits for SIGHUP"`)
	successor := journal.Number(t, r.begin(), "pid")
	r.Line(waits)
	r.wantUpgrade(successor, 1, "a handover is under way: attempt 1, in state preparing")
	starting := r.WatchFor(journal.By(successor), "to=starting")
	r.Kill(incumbent)
	r.Line(starting)
	r.wantUpgrade(successor, 0, "not serving: state starting")
}

// wantUpgrade has an impatient generation call Upgrade.
func (r *run) wantUpgrade(pid, attempt int, reason string) {
	r.t.Helper()
	answer := r.WatchFor(`msg="upgrade answered"`)
	r.Signal(pid, syscall.SIGHUP)
	line := r.Line(answer)
	if journal.Number(r.t, line, "attempt") != attempt || !strings.Contains(journal.Attribute(line, "error"), reason) {
		r.t.Errorf("%q, want attempt %d and %q", line, attempt, reason)
	}
}
