//go:build linux

package traffic

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover"
	"github.com/handover-go/handover/test/internal/due"
)

// TestSessionsOfAnUnknownKindStay: a successor that has no handler refuses them, once for all; the generation that has them serves them on,
// and they go to the next that knows the kind.
func TestSessionsOfAnUnknownKindStay(t *testing.T) {
	t.Parallel()
	const n = 300
	s := startSessions(t)
	first := s.PID()
	all := make([]*session, n)
	for i := range all {
		all[i] = dialSession(t, "tcp", s.tcp)
		all[i].say("line %d", i)
	}
	refused := s.WatchFor(`msg="sessions stay here`, "kind="+lineSessions, "from="+strconv.Itoa(first))
	s.swapFlaw("sessionless")
	second := s.Next()
	s.Line(refused, "nobody says that sessions stay")
	for _, one := range all {
		if pid := one.who(); pid != first {
			t.Fatalf("the session is served by process %d; want %d", pid, first)
		}
	}
	s.swapFlaw("")
	third := s.Next()
	s.AwaitExit(first)
	s.AwaitExit(second)
	for _, one := range all {
		if pid := one.who(); pid != third {
			t.Fatalf("the session is served by process %d; want %d", pid, third)
		}
	}
}

// TestSessionsNeedNoListener: they follow to a build that accepts no new ones, and from there.
func TestSessionsNeedNoListener(t *testing.T) {
	t.Parallel()
	s := startSessions(t)
	one, other := dialSession(t, "tcp", s.tcp), dialSession(t, "unix", s.unix)
	one.say("line")
	s.swapFlaw("sessionsonly")
	second := s.Replaced()
	if pid := one.who(); pid != second {
		t.Errorf("the session is served by process %d; want %d", pid, second)
	}
	s.swapFlaw("")
	third := s.Replaced()
	for _, session := range []*session{one, other, dialSession(t, "tcp", s.tcp)} {
		if pid := session.who(); pid != third {
			t.Errorf("the session is served by process %d; want %d", pid, third)
		}
	}
}

// TestSessionThatIsNeverLetGoIsCutAtTheDrainDeadline and not before; others leave.
func TestSessionThatIsNeverLetGoIsCutAtTheDrainDeadline(t *testing.T) {
	t.Parallel()
	const drain = 5 * time.Second
	s := startSessions(t, "HANDOVER_DRAIN_TIMEOUT="+drain.String())
	first := s.PID()
	stays, leaves := dialSession(t, "tcp", s.tcp), dialSession(t, "unix", s.unix)
	stays.say("stay")
	leaves.say("line")
	times := 0
	asked := s.Watch(func(line string) bool {
		if strings.Contains(line, `msg="session stays"`) {
			times++
		}
		return times == 2
	})
	cut := s.WatchFor(`msg="drain deadline: connections closed"`, "generation=1 ", "connections=1 ")
	draining := s.WatchFor("to=draining")
	second := s.Next()
	s.Line(asked, "the handler was not asked, or not again")
	leaves.follows(second)
	if pid := stays.who(); pid != first {
		t.Errorf("the session is served by process %d; want %d", pid, first)
	}
	_, closed := stays.Ended()
	due.Drained(t, "session cut", s.Line(draining, "it does not drain"), s.Line(cut, "the cut is not logged"), closed, drain)
	s.AwaitExit(first)
	leaves.say("goes on")
}

// TestSessionTakesItsBytesAlong: those that its handler has read and not used, those that wait in the kernel, and state up to its bound.
// A session with more stays.
func TestSessionTakesItsBytesAlong(t *testing.T) {
	t.Parallel()
	s := startSessions(t)
	first := s.PID()
	half, queued, full, over := dialSession(t, "tcp", s.tcp), dialSession(t, "unix", s.unix), dialSession(t, "tcp", s.tcp), dialSession(t, "tcp", s.tcp)
	half.say("begins")
	half.Send("whole\nha") // the handler reads a whole line and the half of one, and waits for the rest
	if answer, err := half.hear(); err != nil || answer != "whole" {
		t.Fatalf("answer %q, %v", answer, err)
	}
	batch := strings.Repeat(strings.Repeat("x", 4000)+"\n", 20) // more than the handler's buffer
	queued.Send("%s", batch)
	full.say("pad %d", handover.MaxSessionState)
	over.say("pad %d", handover.MaxSessionState+1)
	tooLong := s.WatchFor(`msg="session not let go"`, "at most 65536")
	second := s.Next()
	s.Line(tooLong, "the handler does not learn that its state is too long")
	if pid := over.who(); pid != first {
		t.Errorf("a session with too much state is served by process %d; want %d", pid, first)
	}
	over.say("pad 0")
	over.follows(second) // asked again
	half.Send("lf\n")
	if answer, err := half.hear(); err != nil || answer != "half" {
		t.Fatalf("answer %q, %v; want both halves", answer, err)
	}
	half.follows(second)
	for range 20 {
		if answer, err := queued.hear(); err != nil || len(answer) != 4000 {
			t.Fatalf("answer of %d bytes, %v", len(answer), err)
		}
	}
	queued.follows(second)
	full.follows(second)
	s.AwaitExit(first)
	s.Replaced() // the state has arrived as it was sent
	full.say("again")
}

// TestSessionsWithMuchStateFollow: more than a frame holds, and more than a socket's buffer.
func TestSessionsWithMuchStateFollow(t *testing.T) {
	t.Parallel()
	s := startSessions(t)
	all := make([]*session, 200)
	for i := range all {
		all[i] = dialSession(t, "unix", s.unix)
		all[i].say("pad %d", handover.MaxSessionState)
	}
	began := time.Now()
	second := s.Replaced()
	t.Logf("%d sessions with %d bytes each left within %s", len(all), handover.MaxSessionState, time.Since(began))
	for _, one := range all {
		if pid := one.who(); pid != second {
			t.Fatalf("the session is served by process %d; want %d", pid, second)
		}
	}
}

// failingSuccessor upgrades to a build that gives up when it is asked to, and waits until it serves on probation.
func (s *sessionService) failingSuccessor() (incumbent, successor int) {
	s.t.Helper()
	incumbent = s.PID()
	s.swapFlaw("failing")
	return incumbent, s.onProbation()
}

// TestSessionsComeBackFromABuildThatIsTakenBack: those that it has accepted go on in the incumbent, those that had stayed there never left.
func TestSessionsComeBackFromABuildThatIsTakenBack(t *testing.T) {
	t.Parallel()
	s := startSessions(t, "HANDOVER_PROBATION=1m")
	c := &crowd{t: t}
	old := dialSession(t, "tcp", s.tcp)
	old.say("line")
	c.join(dialSession(t, "tcp", s.tcp), pipelines)
	incumbent, successor := s.failingSuccessor()
	var accepted []*session
	for _, at := range [][2]string{{"tcp", s.tcp}, {"unix", s.unix}, {"tcp", s.tcp}} {
		one := dialSession(t, at[0], at[1])
		if pid := one.who(); pid != successor {
			t.Fatalf("the session is served by process %d; want %d", pid, successor)
		}
		accepted = append(accepted, one)
	}
	c.join(dialSession(t, "unix", s.unix), pipelines)
	c.join(dialSession(t, "tcp", s.tcp), dribbles)
	if pid := old.who(); pid != incumbent {
		t.Errorf("a session of the incumbent is served by process %d in probation; want %d", pid, incumbent)
	}
	resumed := s.WatchFor(`msg="successor taken back`, "lost_connections=0")
	s.dial().Ask("/?id=fail")
	s.Line(resumed, "the successor is not taken back")
	s.AwaitExit(successor) // it holds nothing any more
	for _, one := range append(accepted, old) {
		if pid := one.who(); pid != incumbent {
			t.Errorf("the session is served by process %d; want %d", pid, incumbent)
		}
	}
	c.end()
}

// TestBuildThatDiesLosesItsOwnSessionsOnly in probation.
func TestBuildThatDiesLosesItsOwnSessionsOnly(t *testing.T) {
	t.Parallel()
	s := startSessions(t, "HANDOVER_PROBATION=1m")
	c := &crowd{t: t}
	c.join(dialSession(t, "tcp", s.tcp), pipelines)
	c.join(dialSession(t, "unix", s.unix), asks)
	incumbent, successor := s.failingSuccessor()
	lost := dialSession(t, "tcp", s.tcp)
	if pid := lost.who(); pid != successor {
		t.Fatalf("the session is served by process %d; want %d", pid, successor)
	}
	resumed := s.WatchFor(`msg="successor taken back`)
	lost.Send("crash\n")
	s.Line(resumed, "the successor is not taken back")
	lost.Ended()
	if pid := dialSession(t, "tcp", s.tcp).who(); pid != incumbent {
		t.Errorf("a new session is served by process %d; want %d", pid, incumbent)
	}
	c.end()
}
