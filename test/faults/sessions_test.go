//go:build linux

package faults

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
)

// sessions are clients of the line protocol of the service, see traffic.Sessions. Each says line after line, and knows which count is
// its next.
type sessions struct {
	t    *testing.T
	all  []*session
	talk sync.WaitGroup
	over atomic.Bool
	lost atomic.Int32
}

type session struct {
	net.Conn
	*bufio.Reader
	count int
}

func (s *session) Read(p []byte) (int, error) { return s.Reader.Read(p) }

// say returns an error that wraps os.ErrDeadlineExceeded if the session stalls, and errCount if it goes on wrongly; any other is its end.
func (s *session) say(line string) (answer string, err error) {
	s.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintln(s.Conn, line); err != nil {
		return "", err
	}
	answer, err = s.ReadString('\n')
	if err != nil {
		return "", err
	}
	s.count++
	count, answer, _ := strings.Cut(strings.TrimSpace(answer), " ")
	if count != strconv.Itoa(s.count) {
		return "", fmt.Errorf("%w %s; want %d", errCount, count, s.count)
	}
	return answer, nil
}

var errCount = errors.New("answer of count")

// dialSessions begins n sessions, which all have their first answer from process pid.
func dialSessions(t *testing.T, address string, n, pid int) *sessions {
	t.Helper()
	all := &sessions{t: t}
	for range n {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		s := &session{Conn: c, Reader: bufio.NewReader(c)}
		if by, err := s.say("who"); err != nil || by != strconv.Itoa(pid) {
			t.Fatalf("a session with process %s, %v; want %d", by, err, pid)
		}
		all.all = append(all.all, s)
	}
	return all
}

// begin has all but one of them talk without end.
func (all *sessions) begin() {
	for _, s := range all.all[1:] {
		all.talk.Go(func() {
			for !all.over.Load() {
				if !all.saysOn(s) {
					return
				}
			}
		})
	}
}

// saysOn says one line more, and reports whether the session lives.
func (all *sessions) saysOn(s *session) bool {
	answer, err := s.say("line")
	switch {
	case err == nil && answer == "line":
		return true
	case err == nil || errors.Is(err, errCount) || errors.Is(err, os.ErrDeadlineExceeded):
		all.t.Errorf("session %s: %q, %v", s.LocalAddr(), answer, err)
	}
	all.lost.Add(1)
	return false
}

// end has all of them say one line more, and tells how many are lost.
func (all *sessions) end() (lost int) {
	all.over.Store(true)
	all.talk.Wait()
	all.lost.Store(0)
	for _, s := range all.all {
		all.saysOn(s)
	}
	return int(all.lost.Load())
}

// crowdOfSessions leaves CONN frames to sessions: no other connection follows.
var crowdOfSessions = handovertest.Clients{New: 2}

const sessionsEach = 8

// strikeSessions runs one handover with one fault, while sessions follow.
func strikeSessions(t *testing.T, f fault) {
	address := handovertest.FreeAddress(t)
	r := armed(t, f, crowdOfSessions, "SESSIONS=tcp:"+address)
	all := dialSessions(t, address, sessionsEach, r.PID())
	all.begin()
	watch := r.watchStrike()
	r.upgrade()
	pid := r.struck(f, watch)
	t.Logf("%s: pid %d; %s", f, pid, r.settle())
	r.judgeSessions(f, all)
}

// strikeSessionsReturn strikes while they go back from a build that gives up.
func strikeSessionsReturn(t *testing.T, f fault) {
	address := handovertest.FreeAddress(t)
	r := armed(t, f, crowdOfSessions, "SESSIONS=tcp:"+address, "HANDOVER_PROBATION=3s")
	r.Swap(build(t, "failing"))
	watch := r.watchStrike()
	successor := r.prove()
	all := dialSessions(t, address, sessionsEach, successor)
	all.begin()
	once(t, r.address, "/?id=fail", successor)
	pid := r.struck(f, watch)
	t.Logf("%s: pid %d; %s", f, pid, r.settle())
	r.Swap(build(t, ""))
	r.judgeSessions(f, all)
}

// judgeSessions counts what a fault has cost: nothing, unless it killed who had them; and nothing that another had accepted.
func (r *run) judgeSessions(f fault, all *sessions) {
	r.t.Helper()
	r.Answers(20)
	lost := all.end()
	most := 0
	if f.effect == "KILL" {
		switch {
		case f.frame == "GONE":
		case f.frame == "CONN" && f.moment != "after":
			most = sessionsEach
		default:
			most = sessionsEach - 1 // the frame has arrived
		}
	}
	if r.t.Logf("%d of %d sessions lost", lost, sessionsEach); lost > most {
		r.t.Errorf("%d sessions are lost; want %d at most", lost, most)
	}
	r.finish()
}

// TestStruckWhileSessionsFollow: none is lost but by a kill of the process that has it, none stalls, none goes on in two places.
func TestStruckWhileSessionsFollow(t *testing.T) {
	t.Parallel()
	grid(t, []string{"CONN", "CONN_ACK", "GONE"}, strikeSessions, killsTheService)
}

// TestStruckWhileSessionsComeBack is the same for those that a build has accepted which is taken back.
func TestStruckWhileSessionsComeBack(t *testing.T) {
	t.Parallel()
	grid(t, []string{"CONN", "CONN_ACK", "GONE"}, strikeSessionsReturn, leavesNobody)
}

// TestKilledBeforeItAcknowledgesSessionsGoOnWithTheSender: the successor, after FINAL.
func TestKilledBeforeItAcknowledgesSessionsGoOnWithTheSender(t *testing.T) {
	t.Parallel()
	for _, f := range []fault{
		{"receive", "CONN", "before", "KILL"}, {"send", "CONN_ACK", "before", "KILL"}, {"send", "CONN_ACK", "within", "KILL"},
	} {
		t.Run(strings.ReplaceAll(fmt.Sprint(f), " ", "_"), func(t *testing.T) {
			t.Parallel()
			address := handovertest.FreeAddress(t)
			r := armed(t, f, crowdOfSessions, "SESSIONS=tcp:"+address)
			r.Driver.Stop() // it is a crash of the service
			incumbent := r.PID()
			all := dialSessions(t, address, sessionsEach, incumbent)
			all.begin()
			watch := r.watchStrike()
			r.upgrade()
			r.AwaitExit(r.victim(watch))
			if lost := all.end(); lost > 0 {
				t.Errorf("%d sessions are lost", lost)
			}
			for _, s := range all.all {
				if by, err := s.say("who"); err != nil || by != strconv.Itoa(incumbent) {
					t.Errorf("a session with process %s, %v; want %d", by, err, incumbent)
				}
			}
		})
	}
}
