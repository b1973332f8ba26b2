//go:build linux

package faults

import (
	"cmp"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/test/internal/client"
	"github.com/handover-go/handover/test/internal/journal"
)

// TestServiceThatFailsUnderAKeeperLosesNothing: its keeper starts it anew, and what came meanwhile, datagrams too, waits for that. Guard:
// socket.kept; without it the generation that fails takes nothing new in until it has ended, and its keeper's copies of the sockets
// do as it does; and Keeper.released, without which the next one is started when all connections of the one before have ended.
func TestServiceThatFailsUnderAKeeperLosesNothing(t *testing.T) {
	t.Parallel()
	r := beginFailing(t)
	r.drive() // and sessions, which hold it for all of its time to end
	before := r.PID()
	next := r.WatchFor("msg=serving build=keeper")
	r.provoke("failing")
	r.Line(next, "the service is not started again")
	r.Answers(20)
	if report := r.Driver.Stop(); report.Refused+report.Wrong+report.Repeated > 0 || report.LongestGap > 10*time.Second { // of the 30 that it may take to end
		t.Errorf("%s", report)
	} else {
		t.Logf("%s", report)
	}
	if after := r.PID(); after == before {
		t.Errorf("process %d serves still", after)
	}
	r.closesWith(before)
	if unanswered := r.packets.end(1); unanswered > 1 { // one may have been read and not answered
		t.Errorf("%d datagrams are not answered", unanswered)
	}
}

// TestConnectionsOfADrainingGenerationPassByOneThatFails: what becomes idle while a generation that has failed ends, and the next is not there yet, waits
// for the next. Guard: life.judge, "replaced"; without it the generation that ends takes them, and closes them as its own.
func TestConnectionsOfADrainingGenerationPassByOneThatFails(t *testing.T) {
	t.Parallel()
	r := beginFailing(t)
	first := r.PID()
	var busy []*client.Conn
	for range 8 {
		busy = append(busy, client.Hold(t, r.address, time.Minute))
	}
	second := r.Next()
	must(t, os.WriteFile(r.file, []byte(fault{"send", "HELLO", "before", "STOP"}.String()), 0o600))
	struck, serves := r.Watch(strikes.MatchString), r.WatchFor("msg=serving build=keeper")
	r.provoke("failing") // and sessions hold it for all of its time to end
	next, err := strconv.Atoi(strikes.FindStringSubmatch(r.Line(struck, "no next generation is started"))[1])
	must(t, err)
	for _, c := range busy {
		c.Send("body")
		c.AnswerBy(first)
	}
	awaitStopped(r.Run, next)
	r.Signal(next, syscall.SIGCONT)
	r.Line(serves, "no next generation serves")
	r.AwaitExit(first) // nothing is left in it
	for _, c := range busy {
		c.IsOf(next)
	}
	r.closesWith(second)
	r.packets.end(1)
}

// TestServiceThatFailsBeforeItsKeeperKnowsThatItServesIsReplacedAtOnce: the incumbent's word on the end of the handover comes late. Guard: Keeper.over,
// "Released"; without it the next generation is started when the one that has failed has ended, with all of its connections.
func TestServiceThatFailsBeforeItsKeeperKnowsThatItServesIsReplacedAtOnce(t *testing.T) {
	t.Parallel()
	r := beginFailing(t)
	must(t, os.WriteFile(r.file, []byte(fault{"send", "REPLY", "before", "STOP"}.String()), 0o600)) // by who is started from now on
	incumbent := r.Replaced()
	struck, serves := r.Watch(strikes.MatchString), r.WatchFor("serving: the handover is final")
	r.ask()
	r.Line(struck, "the incumbent says nothing of the end")
	failed := journal.Number(t, r.Line(serves, "the successor does not serve"), "pid")
	ends, next := r.WatchFor("msg=ending", journal.By(failed)), r.WatchFor("msg=serving build=keeper", "generation=4")
	busy := client.Hold(t, r.address, time.Minute)
	r.provoke("failing")
	r.Line(ends, "the successor does not fail")
	awaitStopped(r.Run, incumbent)
	r.Signal(incumbent, syscall.SIGCONT)
	r.Line(next, "no next generation serves")
	busy.Send("body")
	busy.AnswerBy(failed)
	r.closesWith(failed)
	r.packets.end(1)
}

// beginFailing starts a service that has a keeper, and fails when it is provoked.
func beginFailing(t *testing.T) *round {
	t.Helper()
	s := &soak{t: t, paths: map[string]string{}}
	s.build("")
	return begin(t, choices{topology: kept, probation: 300 * time.Millisecond, quiet: true}, func(flaw string) string {
		return s.build(cmp.Or(flaw, "failing"))
	}, nil)
}

// closesWith ends the sessions, and waits for the process that has failed.
func (r *round) closesWith(failed int) {
	r.t.Helper()
	r.sessions.end()
	for _, session := range r.sessions.all {
		session.Close()
	}
	r.AwaitExit(failed)
	r.settle()
}
