package handover

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/handover-go/handover/internal/wire"
)

// watch keeps an eye on a successor from its first SERVING until the handover is final: that its process answers, that it
// passes the service's own check, and how many connections it has.
type watch struct {
	life        *life
	until       time.Time // the end of probation
	nextPing    time.Time
	seq         uint64 // of the last PING
	answered    uint64 // of the last PONG
	last        uint64 // of the PING whose answer ends probation; 0: it is not over
	connections int    // the successor's, at its last sign of life

	checks   context.CancelFunc
	failures int  // of the check, in a row
	passed   bool // the last check, or there is none
}

const pingInterval = answerTimeout / 10

func newWatch(l *life) *watch {
	w := &watch{life: l, until: time.Now().Add(l.process.config.Probation), passed: l.process.config.Check == nil}
	ctx, cancel := context.WithCancel(context.Background())
	w.checks = cancel
	if !slices.Contains(l.peer.Features, wire.FeaturePreview) {
		w.passed = true // it cannot be asked
	} else if l.process.config.Check != nil {
		l.background(ctx, w.check)
	}
	return w
}

func (w *watch) stop() { w.checks() }

// tick asks for signs of life, and ends probation when its time has come. lost is how long this process did not run: for
// that long it has not watched.
func (w *watch) tick(lost time.Duration) {
	w.until = w.until.Add(lost)
	now := time.Now()
	if w.life.state != probation {
		return
	}
	over := w.last == 0 && !now.Before(w.until)
	if over || !now.Before(w.nextPing) {
		w.nextPing = now.Add(pingInterval)
		w.seq++
		w.life.send(&wire.Ping{Seq: w.seq})
	}
	if over {
		w.last = w.seq
	}
	w.pass()
}

// pass ends probation, when its time is over, the successor has answered since, and the last check has passed. One that has died
// after its answer is taken back: its death is about to be reported.
func (w *watch) pass() {
	if w.last != 0 && w.answered >= w.last && w.passed && !w.held() && !w.life.peer.Process.Ended() {
		w.life.raise(onPassed, "")
	}
}

// held reports whether the vote is to wait. That has the time a successor has to be ready, from when it was last said or from the
// end of probation, and no more.
func (w *watch) held() bool {
	v := w.life.attempt.vote
	from := w.until
	if v.at.After(from) {
		from = v.at
	}
	return v.Verdict == wire.VoteHold && time.Now().Before(from.Add(w.life.process.config.ReadyTimeout))
}

// voted acts on the vote.
func (w *watch) voted() {
	if w.life.state != probation {
		return
	}
	switch v := w.life.attempt.vote; v.Verdict {
	case wire.VoteFail:
		w.life.raise(onUnhealthy, against+v.Reason)
	case wire.VotePromote:
		w.until = time.Now() // what ends probation then, a sign of life from now on, is asked for still
		w.tick(0)
	default:
		w.pass()
	}
}

// pong is a sign of life: the silence that the deadline bounds begins anew.
func (w *watch) pong(m *wire.Pong) {
	w.connections, w.answered = m.Connections, m.Seq
	if w.life.state == probation {
		w.life.timer.start(answerTimeout)
		w.pass()
	}
}

// check runs the service's check on the successor until ctx is done.
func (w *watch) check(ctx context.Context) {
	l := w.life
	for {
		err := l.process.runCheck(ctx, l.dialSuccessor)
		if ctx.Err() != nil {
			return
		}
		l.post(func() { w.checked(err) })
		select {
		case <-time.After(l.process.config.CheckInterval):
		case <-ctx.Done():
			return
		}
	}
}

func (w *watch) checked(err error) {
	l := w.life
	if l.attempt == nil || l.attempt.watch != w || l.state != probation {
		return
	}
	if err == nil {
		w.failures, w.passed = 0, true
		return
	}
	w.failures++
	w.passed = false
	l.log.Warn("check of the successor failed", "attempt", l.attempt.number, "failures", w.failures,
		"of", l.process.config.CheckFailures, "error", err)
	if w.failures >= l.process.config.CheckFailures {
		l.raise(onUnhealthy, fmt.Sprintf("check failed %d times in a row: %v", w.failures, err))
	}
}
