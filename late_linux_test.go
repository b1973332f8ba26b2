package handover

import (
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// inTheMiddle is an incumbent in a state of its first attempt, and the successor's end of the link.
func inTheMiddle(t *testing.T, s state, successor *mortal) (l *life, theirs *wire.Link) {
	t.Helper()
	here, there, err := platform.SocketPair()
	if err != nil {
		t.Fatal(err)
	}
	p := &Process{config: defaults(t), tickets: newTickets()}
	p.config.Logger = slog.New(slog.DiscardHandler)
	l, theirs = newLife(p, s), peer.NewLink(there)
	l.peer = &peer.Peer{Link: peer.NewLink(here), Process: successor}
	l.attempt = &attempt{number: 1}
	t.Cleanup(func() { l.timer.stop(); l.peer.Close(); _ = theirs.Close() })
	return l, theirs
}

// mortal is a process of which a test says whether it lives.
type mortal struct {
	peer.Process
	dead bool
}

func (m *mortal) Ended() bool { return m.dead }
func (m *mortal) Close()      {}

func (l *life) raises(e event) bool {
	return slices.ContainsFunc(l.raised, func(r raised) bool { return r.event == e })
}

func TestReturnThatCrossesResumeCostsTheSuccessorNothing(t *testing.T) {
	l, _ := inTheMiddle(t, reclaiming, &mortal{})
	l.frame(&wire.Frame{Message: &wire.Return{Reason: "told to end"}})
	if l.raises(onEOF) || !l.raises(onReturn) {
		t.Errorf("RETURN in state %s raises %v", l.state, l.raised)
	}
}

func TestHandoverIsNotFinalToASuccessorThatDiedAfterItsAnswer(t *testing.T) {
	successor := &mortal{dead: true}
	l, _ := inTheMiddle(t, probation, successor)
	w := &watch{life: l, passed: true, last: 1}
	l.attempt.watch = w
	w.pong(&wire.Pong{Seq: 1})
	if l.raises(onPassed) {
		t.Error("probation is passed by a dead successor")
	}
	successor.dead = false
	w.pong(&wire.Pong{Seq: 1})
	if !l.raises(onPassed) {
		t.Error("probation is not passed by one that lives")
	}
}

func TestDeathIsAwaitedWhereADeadlineExpiresWithIt(t *testing.T) {
	incumbent := &mortal{dead: true}
	l, _ := inTheMiddle(t, frozen, incumbent)
	l.timer.start(time.Hour)
	l.timer.at = l.timer.last // it expires now
	l.tick()
	if l.raises(onDeadline) {
		t.Error("the deadline is acted on, with a death about to be told")
	}
	incumbent.dead = false
	l.tick()
	if !l.raises(onDeadline) {
		t.Error("the deadline is not acted on, with a peer that lives")
	}
}

func TestFreezeThatWasUndoneIsNotTakenForTheNext(t *testing.T) {
	l, _ := inTheMiddle(t, freezing, &mortal{})
	before := l.attempt
	l.attempt = &attempt{number: 2}
	for _, e := range []event{onFrozen, onFreezeFailed} {
		l.froze(before, e, errors.New("late").Error())
		if (<-l.calls)(); l.raises(e) {
			t.Errorf("attempt 2 is told what came of the freeze for attempt 1: %s", e)
		}
		l.froze(l.attempt, e, "")
		if (<-l.calls)(); !l.raises(e) {
			t.Errorf("attempt 2 is not told of its own: %s", e)
		}
	}
}
