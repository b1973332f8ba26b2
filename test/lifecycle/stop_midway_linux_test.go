package lifecycle

import (
	"errors"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/handover-go/handover/test/internal/journal"
)

// TestIncumbentToldToEndWhileItsSuccessorHoldsBack tells it in states that a successor leaves in no time, but for one that holds a
// frame back, or does not die. Whatever comes then, the wish is kept: what is in flight is answered, and the service ends,
// where it was not handed over.
func TestIncumbentToldToEndWhileItsSuccessorHoldsBack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		state, speech string
		goesOn        bool   // once the incumbent was told
		outcome       string // of the handover
		reason        string
	}{
		{"passing", "holds IMPORTED", false, aborted, "the service was told to end"},
		{"committed", "holds SERVING", true, `msg="handover final"`, ""},
		{"committed", "holds SERVING", false, resumed, "nothing came within 5s"},
		{"reclaiming", "holds RETURNED", true, resumed, "seen enough"},
		{"reclaiming", "holds RETURNED", false, resumed, "seen enough"},
		{"fencing", "breaks off in probation", true, resumed, "end of link"},
	} {
		name := c.state + ", and the successor goes on"
		if !c.goesOn {
			name = c.state + ", and the successor does not go on"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := named(t, "HANDOVER_FREEZE_TIMEOUT=3s", "HANDOVER_STOP_TIMEOUT=10s")
			incumbent, idle, busy := r.PID(), r.dial(), r.dial()
			idle.IsOf(incumbent)
			busy.Ask("/slow?id=busy&ms=9000")
			r.PID()
			entered, outcome := r.WatchFor(journal.By(incumbent), "to="+c.state), r.WatchFor(journal.By(incumbent), c.outcome)
			proven := r.WatchFor(journal.By(incumbent), "to=probation")
			s := r.speak(c.speech, 0)
			release := func() {}
			if c.state == "fencing" {
				r.Line(proven)
				release = s.diesSlowly()
				s.goOn()
			} else if c.goesOn {
				release = s.goOn
			}
			r.Line(entered)
			kept := r.WatchFor(journal.By(incumbent), `event="told to end"`)
			r.Signal(incumbent, syscall.SIGTERM)
			if line := r.Line(kept); !strings.Contains(line, "state="+c.state+" ") && !strings.Contains(line, "from="+c.state+" ") {
				t.Fatalf("it was told in another state than %s: %s", c.state, line)
			}
			release()
			line := r.Line(outcome)
			if c.reason != "" {
				wantReason(t, line, c.outcome, c.reason)
			}
			busy.AnswerBy(incumbent)
			if c.reason == "" { // another process is the service: clients may stay as long as the drain lasts
				idle.Close()
				busy.Close()
			}
			r.AwaitExit(incumbent)
			r.AssertNobodyLeft()
			s.wait()
		})
	}
}

// diesSlowly has the speaker, once it is killed, not be dead before the returned function is called: it is traced, and stops on
// its way out (ptrace(2), PTRACE_O_TRACEEXIT).
func (s *speaking) diesSlowly() (die func()) {
	s.r.t.Helper()
	traced, let, gone := make(chan error), make(chan struct{}), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the tracer is a thread
		defer runtime.UnlockOSThread()
		pid := s.cmd.Process.Pid
		_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(pid), 0, unix.PTRACE_O_TRACEEXIT, 0, 0)
		if errno != 0 {
			traced <- errno
			return
		}
		traced <- nil
		<-let
		_, err := unix.Wait4(pid, nil, unix.WALL, nil) // it has stopped
		gone <- errors.Join(err, unix.PtraceCont(pid, 0))
	}()
	must(s.r.t, <-traced)
	return func() {
		s.r.t.Helper()
		close(let)
		must(s.r.t, <-gone)
	}
}
