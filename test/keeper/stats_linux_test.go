package keeper

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/internal/wire"
)

// TestFiguresComeFromEveryGeneration asks a keeper, through a handover, a death and a keeper's, and then the service alone. Requests are
// counted from the first question on, whoever serves.
func TestFiguresComeFromEveryGeneration(t *testing.T) {
	t.Parallel()
	r := start(t, kept{flags: []string{"-steady", "1ms"}}).drive()
	stats := func() []wire.Figures {
		t.Helper()
		reply := r.ask(&wire.Stats{})
		if reply.Error != "" || len(reply.Stats) == 0 {
			t.Fatalf("%+v\n%s", reply, r.Output(60))
		}
		return reply.Stats
	}
	counts := func(why string) {
		t.Helper()
		r.Eventually("requests that are counted "+why, func() (any, bool) {
			all := stats()
			last := all[len(all)-1]
			return all, last.PID == r.PID() && last.Requests != nil && last.Requests.Total > 20 && last.Requests.Errors == 0 && len(last.Requests.Latency) > 0
		})
	}
	r.Answers(50)
	before := r.Driver.Snapshot().Requests
	first := stats()[0]
	most := 20 + r.Driver.Snapshot().Requests - before // with those that were under way
	if first.PID != r.PID() || first.State != "serving" || first.Goroutines < 5 || first.HeapBytes == 0 || first.RSSBytes < first.HeapBytes ||
		first.Descriptors < 10 || first.Connections.Idle+first.Connections.Active+first.Connections.New == 0 || first.Requests.Total > uint64(most) {
		t.Errorf("%+v", first)
	}
	counts("from then on")

	// begun makes sure that a generation has counted from its beginning, and not only since it was asked: all that it has answered.
	begun := func() {
		t.Helper()
		pid, answered, since := r.PID(), 0, time.Now()
		r.Eventually(fmt.Sprintf("answers of process %d", pid), func() (any, bool) {
			answered = r.Driver.Snapshot().ByPID[pid]
			return answered, answered >= 50
		})
		waited := time.Since(since)
		all := stats()
		if last := all[len(all)-1]; last.PID != pid || last.Requests == nil || last.Requests.Total < uint64(answered) || last.Requests.SinceMs < waited.Milliseconds() {
			t.Errorf("%+v, %+v: want process %d to count from its beginning, %s and %d answers ago", last, last.Requests, pid, waited, answered)
		}
	}
	v := r.asksTo(watched)
	v.says(wire.VoteHold, "")
	v.reaches("probation")
	begun()
	r.Eventually("both generations", func() (any, bool) {
		all := stats()
		return all, len(all) == 2 && all[0].Generation == 1 && all[1].Generation == 2 && all[0].State == "probation" && all[1].State == "proving" && all[1].Requests != nil
	})
	v.says(wire.VotePass, "")
	v.ends("final")
	counts("by the next generation")

	r.kill(r.PID())
	r.Answers(20)
	r.settled()
	begun()
	counts("after a death")

	gone := r.Watch(func(line string) bool { return strings.Contains(line, alone) })
	r.Kill(r.keeper)
	r.Line(gone)
	counts("by a service without a keeper")
	handovertest.AssertLostInCrashOnly(t, r.Driver.Stop())
}

// TestGenerationThatHangsIsLeftOut stops a generation: the figures of the others come all the same.
func TestGenerationThatHangsIsLeftOut(t *testing.T) {
	t.Parallel()
	r := start(t, kept{})
	pid := r.PID()
	r.Signal(pid, syscall.SIGSTOP)
	defer r.Signal(pid, syscall.SIGCONT)
	r.Eventually("the process at rest", func() (any, bool) {
		family := r.Family()
		return family, slices.ContainsFunc(family, func(p handovertest.Process) bool { return p.PID == pid && p.State == "T" })
	})
	if reply := r.ask(&wire.Stats{}); reply.Error != "" || len(reply.Stats) != 0 {
		t.Errorf("%+v, want no figures of a process that does not run", reply)
	}
}
