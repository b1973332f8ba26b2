//go:build linux

package faults

import (
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/count"
)

// probation of these handovers, and the span of instants: a successor is killed within it only, as afterwards it is the
// service itself. So it is probationOfBad where one is: the kill may come late.
const probation = 400 * time.Millisecond

// TestStruckAtRandomInstantsTheServiceGoesOn kills or stops either side at random instants of handovers, under load: 30
// times, or 300 with HANDOVER_COUNT=full. HANDOVER_SEED repeats a run.
func TestStruckAtRandomInstantsTheServiceGoesOn(t *testing.T) {
	t.Parallel()
	randomStrikes(t, count.Of(30, 300))
}

var started = regexp.MustCompile(`msg="handover begins: the successor is started".* pid=(\d+)`)

func randomStrikes(t *testing.T, rounds int) {
	t.Helper()
	seed := seed(t)
	random := rand.New(rand.NewPCG(seed, 0))
	var r *run
	counts := map[string]int{}
	kills := rounds / 4 // of a successor, the first of all
	for round := range rounds {
		if r == nil || round == kills || round%30 == 0 { // a fresh service now and then keeps ledger and log short
			if r != nil {
				r.finish()
				r.Stop()
			}
			length := probation
			if round < kills {
				length = probationOfBad
			}
			r = start(t, "HANDOVER_PROBATION="+length.String())
		}
		counts[r.strikeAtRandom(random, round < kills)]++
		if t.Failed() {
			t.Fatalf("round %d of seed %d", round, seed)
		}
	}
	r.finish()
	t.Logf("%v", counts)
}

// strikeAtRandom runs one handover, and strikes once: it kills the successor, or else does anything but that. It says what came of it.
func (r *run) strikeAtRandom(random *rand.Rand, kill bool) string {
	r.t.Helper()
	r.Renew()
	begun := r.Watch(func(line string) bool { return started.MatchString(line) })
	offered := r.WatchFor("event=OFFER to=preparing")
	incumbent := r.PID()
	r.upgrade()
	successor, _ := strconv.Atoi(started.FindStringSubmatch(r.Line(begun, "no handover begins"))[1])

	victim, side, signal := incumbent, "incumbent", []string{"KILL", "STOP"}[random.IntN(2)]
	span := probation * 3 / 2
	switch {
	case kill:
		victim, side, signal = successor, "successor", "KILL"
		span = probation / 2
	case random.IntN(3) == 0:
		victim, side, signal = successor, "successor", "STOP"
		span = probation / 2
	}
	if victim == incumbent {
		// Killed before, it would be the only generation: nothing is handed over yet.
		r.Line(offered, "no offer")
	} else {
		offered.Forget()
	}
	instant := time.NewTimer(time.Duration(random.Int64N(int64(span))))
	defer instant.Stop()
	<-instant.C
	for _, p := range r.Family() {
		if p.PID != victim || p.State == "Z" {
			continue
		}
		at := time.Now()
		switch { // it may have ended just now
		case signal == "STOP" && syscall.Kill(victim, syscall.SIGSTOP) == nil:
			still := time.NewTimer(time.Duration(random.Int64N(int64(300 * time.Millisecond))))
			<-still.C
			_ = syscall.Kill(victim, syscall.SIGCONT)
		case signal == "KILL" && syscall.Kill(victim, syscall.SIGKILL) == nil:
			r.AwaitExit(victim)
			r.pass(100 * time.Millisecond) // see struck
			r.Driver.Killed(victim, at)
		}
	}
	outcome := r.settle()
	r.Answers(20)
	handovertest.AssertLostInCrashOnly(r.t, r.Driver.Snapshot())
	_, message, _ := strings.Cut(outcome, "msg=")
	message, _, _ = strings.Cut(message, " build=")
	return side + " " + signal + ": " + message
}
