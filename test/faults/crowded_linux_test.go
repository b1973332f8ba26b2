package faults

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/test/internal/client"
)

// crowding is how people are told that a frame with descriptors could not be sent.
const crowding = "too many descriptors in flight"

// before is a frame that is about to be sent.
func before(frame string) fault { return fault{"send", frame, "before", "STOP"} }

// crowded starts a service of a user without privileges and begins a handover. See crowd.
func crowded(t *testing.T, frame string, env ...string) (r *commoner, leave func()) {
	t.Helper()
	r = startAsCommoner(t, before(frame), env...)
	return r, r.crowd()
}

// crowd begins a handover. When it returns, the frame at which the fault strikes is about to be sent, and another process has more
// descriptors of the user's in flight than the kernel takes, until leave.
func (r *commoner) crowd() (leave func()) {
	r.t.Helper()
	watch := r.watchStrike()
	r.upgrade()
	pid := r.victim(watch)
	awaitStopped(r.Run, pid)
	leave = r.hoarder()
	r.Signal(pid, syscall.SIGCONT)
	return leave
}

// TestTooManyDescriptorsInFlightAbortAHandover before its commit, whichever side meets the limit. The reason is said, nothing is lost,
// and the next handover succeeds when the other process has gone.
func TestTooManyDescriptorsInFlightAbortAHandover(t *testing.T) {
	t.Parallel()
	for _, frame := range []string{"HELLO", "OFFER", "LISTENERS"} {
		t.Run(frame, func(t *testing.T) {
			t.Parallel()
			r, leave := crowded(t, frame)
			for range 3 { // and so on, while the limit is reached
				if line := r.refused(); !strings.Contains(line, crowding) {
					t.Errorf("the reason is not said: %s", line)
				}
				r.upgrade()
			}
			r.refused()
			leave()
			handovertest.AssertNothingLost(t, r.finish())
		})
	}
}

// TestTooManyDescriptorsInFlightFailAProbation that is long enough for it: the check cannot be sent to the successor, which is alive
// and gives everything back, once it can.
func TestTooManyDescriptorsInFlightFailAProbation(t *testing.T) {
	t.Parallel()
	r, leave := crowded(t, "PREVIEW", "HANDOVER_PROBATION=5s")
	if line := r.settle(); !strings.Contains(line, "successor taken back") || !strings.Contains(line, crowding) {
		t.Errorf("not taken back, or the reason is not said: %s", line)
	}
	if strings.Contains(r.Output(1<<20), "the successor is killed") {
		t.Error("a successor that answers was killed")
	}
	leave()
	handovertest.AssertNothingLost(t, r.finish())
}

// TestTooManyDescriptorsInFlightLeaveTheLastConnectionOpen: a build that is taken back has one connection, which cannot go back, and waits
// with it until it can.
func TestTooManyDescriptorsInFlightLeaveTheLastConnectionOpen(t *testing.T) {
	t.Parallel()
	r := startAsCommoner(t, before("PREVIEW"), "HANDOVER_PROBATION=10s", "HANDOVER_CHECK_FAILURES=60")
	r.Finish()
	leave := r.crowd()
	idle, finished := client.Dial(t, r.address, patience), r.WatchFor(`msg="draining generation has finished"`)
	idle.Ask("/?id=idle")
	successor, err := strconv.Atoi(strings.Fields(idle.Answer())[1])
	must(t, err)
	if strings.Contains(r.Output(1<<20), "successor taken back") {
		t.Fatal("taken back before the connection was made")
	}
	if line := r.settle(); !strings.Contains(line, "successor taken back") {
		t.Errorf("not taken back: %s", line)
	}
	idle.StaysOpen(300 * time.Millisecond) // it is tried several times
	idle.Ask("/?id=again")
	idle.AnswerBy(successor)
	leave()
	r.Line(finished, "the connection does not go back")
	idle.Ask("/?id=last")
	idle.AnswerBy(r.PID())
}

// TestTooManyDescriptorsInFlightAtFinalLoseTheTakeoverSocketAlone: the successor is told that the handover is final, and makes another.
func TestTooManyDescriptorsInFlightAtFinalLoseTheTakeoverSocketAlone(t *testing.T) {
	t.Parallel()
	r, leave := crowded(t, "FINAL")
	if line := r.settle(); !strings.Contains(line, "the handover is final") {
		t.Errorf("FINAL is lost: %s", line)
	}
	if !strings.Contains(r.Output(1<<20), crowding) {
		t.Error("the reason is not said")
	}
	leave()
	r.answersAtTheTakeoverSocket(r.PID())
	handovertest.AssertNothingLost(t, r.finish())
}

// answersAtTheTakeoverSocket waits until the process does: it serves before.
func (r *commoner) answersAtTheTakeoverSocket(pid int) {
	r.t.Helper()
	r.Eventually(fmt.Sprintf("process %d at the takeover socket", pid), func() (any, bool) {
		c, err := net.Dial("unix", r.takeover)
		if err != nil {
			return err, false
		}
		defer c.Close()
		creds, err := platform.PeerCredentials(platform.SocketFromConn(c.(*net.UnixConn)))
		return err, err == nil && creds.PID == pid
	})
}

// TestTooManyDescriptorsInFlightLeaveADrainingGenerationToItself: it cannot be told who serves now, and finishes what it holds.
func TestTooManyDescriptorsInFlightLeaveADrainingGenerationToItself(t *testing.T) {
	t.Parallel()
	r := startAsCommoner(t, before("REDIRECT"))
	drains, held := r.PID(), client.Hold(t, r.address, time.Minute)
	r.Upgrade(1)
	leave := r.crowd()
	if line := r.settle(); !strings.Contains(line, "the handover is final") {
		t.Errorf("not final: %s", line)
	}
	held.Send("body")
	held.AnswerBy(drains)
	held.Ask("/?id=again")
	held.AnswerBy(drains)
	leave()
	held.Close() // what waited while nobody could be asked may be one of several: this client was not told to leave
	r.AwaitExit(drains)
	handovertest.AssertNothingLost(t, r.finish())
}

// TestTooManyDescriptorsInFlightKeepConnectionsWhereTheyAre until they can follow.
func TestTooManyDescriptorsInFlightKeepConnectionsWhereTheyAre(t *testing.T) {
	t.Parallel()
	r, leave := crowded(t, "CONN")
	r.settle()
	incumbent := 0
	for _, p := range r.Family() {
		if p.PID != r.PID() {
			incumbent = p.PID
		}
	}
	answered := r.Driver.Snapshot().ByPID[incumbent]
	r.Eventually("answers to those that stay", func() (any, bool) {
		n := r.Driver.Snapshot().ByPID[incumbent]
		return n, n >= answered+50
	})
	leave()
	r.AwaitExit(incumbent) // they have followed
	handovertest.AssertNothingLost(t, r.finish())
}
