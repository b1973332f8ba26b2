package lifecycle

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/test/internal/client"
	"github.com/handover-go/handover/test/internal/journal"
	"github.com/handover-go/handover/test/internal/rig"
)

// stops are the ways to tell a service to end.
var stops = map[string]func(r *run, pid int){
	"SIGTERM":              func(r *run, pid int) { r.Signal(pid, syscall.SIGTERM) },
	"SIGINT":               func(r *run, pid int) { r.Signal(pid, syscall.SIGINT) },
	"end of Run's context": func(r *run, _ int) { r.get("/cancel") },
}

// TestServiceToldToEndAnswersWhatIsInFlight ends the only generation, under load: every request that it has is answered.
func TestServiceToldToEndAnswersWhatIsInFlight(t *testing.T) {
	t.Parallel()
	for name, stop := range stops {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t).drive()
			pid := r.PID()
			var inFlight []*client.Conn
			for i := range 10 {
				c := r.dial()
				c.Ask(fmt.Sprintf("/slow?id=%d&ms=%d", i, 400+50*i))
				inFlight = append(inFlight, c)
			}
			upload := r.dial()
			upload.Send("POST /upload?id=up HTTP/1.1\r\nHost: service\r\nContent-Length: 20\r\n\r\n0123456789")
			r.get("/") // what was sent before has been accepted
			w := r.WatchFor(ending)
			stop(r, pid)
			r.Line(w)
			upload.Send("0123456789")
			for _, c := range append(inFlight, upload) {
				c.AnswerBy(pid)
			}
			r.AwaitExit(pid)
			r.assertNobodyWronged()
		})
	}
}

// assertNobodyWronged ends the load of a service that has ended. Who came later than the wish to end may have been refused,
// have found an idle connection closed, even while sending the next request on it (RFC 9112, 9.6), but was told nothing wrong.
func (r *run) assertNobodyWronged() {
	r.t.Helper()
	report := r.Driver.Stop()
	r.t.Log(report)
	if report.Wrong+report.Repeated > 0 {
		r.t.Errorf("%d wrong answers: %s", report.Wrong+report.Repeated, report)
	}
}

// TestServiceToldToEndSaysWhichOfThePipelinedItAnswers has the first of three requests under way. They are answered in order until
// an answer says that it is the last (RFC 9112, 9.6): what was sent after that request is known to be unanswered.
func TestServiceToldToEndSaysWhichOfThePipelinedItAnswers(t *testing.T) {
	t.Parallel()
	r := start(t)
	pid, c := r.PID(), r.dial()
	request := "GET /slow?id=piped&ms=1500 HTTP/1.1\r\nHost: service\r\n\r\n"
	c.Send("%s", request+request+request)
	r.get("/")
	r.Signal(pid, syscall.SIGTERM)
	for !c.AnswerTo("piped", pid).Close {
	}
	r.AwaitExit(pid)
}

// TestIncumbentToldToEndBeforeTheCommitAbortsAndEnds tells it in each state in which the successor takes its time.
func TestIncumbentToldToEndBeforeTheCommitAbortsAndEnds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ state, incumbent, successor, enters string }{
		{"offering", "", "hang", "to=preparing"},
		{"awaiting", "", "unsure", "to=awaiting"},
		{"freezing", "stuck", "", "to=freezing"},
	} {
		t.Run(c.state, func(t *testing.T) {
			t.Parallel()
			r := startFrom(t, rig.Build(t, c.incumbent), "HANDOVER_CHECK_TIMEOUT=30s", "HANDOVER_FREEZE_TIMEOUT=3s")
			r.Swap(rig.Build(t, c.successor))
			incumbent, idle, busy := r.PID(), r.dial(), r.dial()
			idle.IsOf(incumbent)
			busy.Ask("/slow?id=busy&ms=800")
			entered := r.WatchFor(c.enters)
			successor := journal.Number(t, r.begin(), "pid")
			r.Line(entered)
			abort, end := r.WatchFor(aborted), r.WatchFor(ending)
			r.Signal(incumbent, syscall.SIGTERM)
			wantReason(t, r.Line(abort), aborted, "the service was told to end")
			r.Line(end)
			r.AwaitExit(successor)
			busy.AnswerBy(incumbent)
			r.AwaitExit(incumbent)
			r.AssertNobodyLeft()
		})
	}
}

// TestIncumbentToldToEndOnProbationMakesItFinal loses nothing, as the successor serves on.
func TestIncumbentToldToEndOnProbationMakesItFinal(t *testing.T) {
	t.Parallel()
	r := start(t, "HANDOVER_PROBATION=30s").drive()
	incumbent := r.PID()
	serves, final := r.WatchFor(proving), r.WatchFor(succeeded)
	r.begin()
	successor := journal.Number(t, r.Line(serves), "pid")
	r.Signal(incumbent, syscall.SIGTERM)
	if line := r.Line(final); !strings.Contains(line, journal.By(successor)) {
		t.Errorf("%q is not the successor's, process %d", line, successor)
	}
	r.AwaitExit(incumbent)
	r.AssertServes(successor)
	r.assertAlone(successor)
	r.Finish()
}

// TestDrainingGenerationToldToEndShortensItsDrain holds a request there for longer than it may: five seconds from then on.
func TestDrainingGenerationToldToEndShortensItsDrain(t *testing.T) {
	t.Parallel()
	r := start(t)
	before, long, short := r.PID(), r.dial(), r.dial()
	long.Ask("/slow?id=long&ms=30000")
	short.Ask("/slow?id=short&ms=3000")
	r.get("/")
	r.Upgrade(1)
	serving := r.PID()
	cut := r.WatchFor(`msg="drain deadline: connections closed"`)
	told := time.Now()
	r.Signal(before, syscall.SIGTERM)
	short.AnswerBy(before)
	if line := r.Line(cut); !strings.Contains(line, journal.By(before)) || journal.Number(t, line, "connections") != 1 {
		t.Errorf("%q, want 1 connection of process %d", line, before)
	}
	if took := time.Since(told); took < 4*time.Second || took > 15*time.Second {
		t.Errorf("the drain ended %s after it was told to, want 5s", took)
	}
	if _, err := http.ReadResponse(long.Reader, nil); err == nil {
		t.Error("the request that was cut has an answer")
	}
	r.AwaitExit(before)
	r.AssertServes(serving)
	r.assertAlone(serving)
}

// TestSuccessorToldToEndBeforeTheCommitIsAnAbort tells it before Run, where the signal just ends it, and after.
func TestSuccessorToldToEndBeforeTheCommitIsAnAbort(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ state, flaw, reason string }{
		{"preparing", "hang", "signal: terminated"},
		{"checking", "unsure", "told to end"},
	} {
		t.Run(c.state, func(t *testing.T) {
			t.Parallel()
			r := start(t, "HANDOVER_CHECK_TIMEOUT=30s").drive()
			incumbent := r.PID()
			r.Swap(rig.Build(t, c.flaw))
			entered, outcome := r.WatchFor("to="+c.state), r.outcome()
			successor := journal.Number(t, r.begin(), "pid")
			r.Line(entered)
			r.Signal(successor, syscall.SIGTERM)
			wantReason(t, r.Line(outcome), aborted, c.reason)
			r.AssertServes(incumbent)
			r.assertAlone(incumbent)
			r.upgrades()
			r.Finish()
		})
	}
}

// TestSuccessorToldToEndOnProbationIsTakenBack loses nothing: connections that it accepted go back to the incumbent.
func TestSuccessorToldToEndOnProbationIsTakenBack(t *testing.T) {
	t.Parallel()
	r := start(t, "HANDOVER_PROBATION=3s").drive()
	incumbent := r.PID()
	serves, outcome := r.WatchFor(proving), r.outcome()
	r.begin()
	successor := journal.Number(t, r.Line(serves), "pid")
	idle := r.dial()
	idle.IsOf(successor)
	r.Signal(successor, syscall.SIGTERM)
	wantReason(t, r.Line(outcome), resumed, "terminated")
	r.AwaitExit(successor)
	idle.IsOf(incumbent)
	r.AssertServes(incumbent)
	r.upgrades()
	r.Finish()
}

// TestBothToldToEndOnProbationEnd tells them in both orders and at the same time: whatever is in flight with either is
// answered, and no process is left, though clients keep idle connections open.
func TestBothToldToEndOnProbationEnd(t *testing.T) {
	t.Parallel()
	for _, order := range []string{"incumbent first", "successor first", "at once"} {
		for clients, stay := range map[string]bool{"clients leave": false, "clients stay idle": true} {
			t.Run(order+", "+clients, func(t *testing.T) {
				t.Parallel()
				endBoth(t, order, stay)
			})
		}
	}
}

func endBoth(t *testing.T, order string, stay bool) {
	r := start(t, "HANDOVER_PROBATION=30s")
	incumbent, old := r.PID(), r.dial()
	old.Ask("/slow?id=old&ms=1000")
	r.get("/")
	serves := r.WatchFor(proving)
	r.begin()
	successor := journal.Number(t, r.Line(serves), "pid")
	fresh := r.dial()
	fresh.Ask("/stream?id=fresh&n=10&ms=100")
	_, err := fresh.Peek(1) // its handler has begun
	must(t, err)
	if pid := r.PID(); pid != successor {
		t.Fatalf("process %d answers, want %d", pid, successor)
	}
	switch order {
	case "incumbent first":
		final := r.WatchFor(succeeded)
		r.Signal(incumbent, syscall.SIGTERM)
		r.Line(final)
		r.Signal(successor, syscall.SIGTERM)
	case "successor first":
		taken := r.WatchFor(resumed)
		r.Signal(successor, syscall.SIGTERM)
		r.Line(taken)
		r.Signal(incumbent, syscall.SIGTERM)
	default:
		r.Signal(incumbent, syscall.SIGTERM)
		r.Signal(successor, syscall.SIGTERM)
	}
	for c, pid := range map[*client.Conn]int{old: incumbent, fresh: successor} {
		c.AnswerBy(pid)
		if !stay {
			c.Close()
		}
	}
	r.AwaitExit(incumbent)
	r.AwaitExit(successor)
	r.AssertNobodyLeft()
}
