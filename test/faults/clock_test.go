//go:build linux

package faults

import (
	"crypto/tls"
	"fmt"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/certificate"
	"github.com/handover-go/handover/test/internal/client"
	"github.com/handover-go/handover/test/internal/clock"
	"github.com/handover-go/handover/test/internal/journal"
)

// hours is what the wall clock jumps by: more than any bound that the service has.
const hours = 5 * time.Hour

// TestClockThatJumpsChangesNothing: at each phase of a handover, and in the drain, the wall clock of every process goes forward or back by
// hours. Every handover is final in its time, a request in flight is answered, the drain is not cut, a TLS client resumes, and a
// keeper starts again at once what has died. Guard: deadlines are instants of the monotonic clock; made of the wall clock
// (Round(0) in deadlineTimer.start), they pass at once or never.
func TestClockThatJumpsChangesNothing(t *testing.T) {
	t.Parallel()
	flags, err := clock.Flags(t.TempDir())
	must(t, err)
	builds := map[string]string{}
	for name, pkg := range map[string]string{"": "../service", "keeper": "../keeper/keep"} {
		builds[name] = handovertest.Build(t, pkg, flags...)
	}
	for _, topology := range []string{alone, kept} {
		t.Run(topology, func(t *testing.T) {
			t.Parallel()
			wall, err := clock.NewWall(t.TempDir())
			must(t, err)
			secure := handovertest.FreeAddress(t)
			certFile, keyFile := certificate.New(t, 1).Put(t, t.TempDir())
			build := func(name string) string { return builds[name] }
			r := begin(t, choices{topology: topology, probation: probationOfGood}, build, func(address string) []string {
				return []string{wall.Env(), "ADDR=" + address + ",tls:" + secure, "TLS_CERT=" + certFile, "TLS_KEY=" + keyFile}
			})
			r.drive()
			tickets := &tls.Config{InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
			resumes(t, secure, tickets, false)
			for _, phase := range []occurrence{begins, offered, proving, settles} {
				for _, jump := range []time.Duration{hours, -hours} {
					r.jumps(wall, phase, jump)
					resumes(t, secure, tickets, true)
				}
			}
			handovertest.AssertNothingLost(t, r.Driver.Stop())
			r.judge(r.Driver.Snapshot())
			if topology != kept {
				return
			}
			for _, jump := range []time.Duration{hours, -hours} {
				pid := r.PID()
				must(t, wall.Jump(jump))
				r.Kill(pid)
				must(t, wall.Jump(jump))
				r.settle()
			}
		})
	}
}

// jumps runs one handover with a jump of the clock at a phase of it, and a request that is longer than that.
func (r *round) jumps(wall *clock.Wall, phase occurrence, by time.Duration) {
	r.t.Helper()
	incumbent, busy := r.PID(), client.Hold(r.t, r.address, time.Minute)
	defer busy.Close()
	r.reader.expects("")
	finished := r.WatchFor(`msg="draining generation has finished"`, fmt.Sprint(" pid=", incumbent))
	began := time.Now()
	r.ask()
	r.until(phase)
	must(r.t, wall.Jump(by))
	if phase != settles {
		if line := r.until(settles); !final.MatchString(line) {
			r.t.Errorf("a jump by %s at phase %d: %s", by, phase, line)
		}
	}
	busy.Send("body")
	busy.AnswerBy(incumbent)
	line := r.Line(finished, "the incumbent does not finish")
	if ahead := time.Until(journal.Written(r.t, line)); by > 0 && ahead < by-time.Minute {
		r.t.Errorf("the clock of the service is %s ahead: it has not jumped by %s", ahead, by)
	}
	r.settle()
	if took := time.Since(began); took > drainTimeout {
		r.t.Errorf("a jump by %s at phase %d: the handover takes %s", by, phase, took)
	}
	r.Answers(20)
}

// until waits for an event.
func (r *round) until(kind occurrence) string {
	r.t.Helper()
	for {
		select {
		case e := <-r.reader.events:
			if e.kind == kind {
				return e.line
			}
		case <-r.Ctx.Done():
			r.t.Fatalf("event %d does not come\n%s", kind, r.Output(60))
		}
	}
}

// resumes makes a connection over TLS, asks once, and checks whether it goes on with what was agreed before.
func resumes(t *testing.T, address string, config *tls.Config, want bool) {
	t.Helper()
	c := client.DialTLS(t, address, config, patience)
	defer c.Close()
	if got := c.ConnectionState().DidResume; got != want {
		t.Errorf("a TLS connection resumes: %t, want %t", got, want)
	}
	if _, err := c.Write([]byte("GET /?id=1 HTTP/1.1\r\nHost: service\r\nConnection: close\r\n\r\n")); err != nil {
		t.Errorf("TLS: %v", err)
	}
	if n, err := c.Read(make([]byte, 1000)); n == 0 {
		t.Errorf("TLS: no answer: %v", err)
	}
}
