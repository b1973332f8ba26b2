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
// service itself.
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
	for round := range rounds {
		if r == nil || round%30 == 0 { // a fresh service now and then keeps ledger and log short
			if r != nil {
				r.finish()
				r.Stop()
			}
			r = start(t, "HANDOVER_PROBATION="+probation.String())
		}
		counts[r.strikeAtRandom(random)]++
		if t.Failed() {
			t.Fatalf("round %d of seed %d", round, seed)
		}
	}
	r.finish()
	t.Logf("%v", counts)
}

// strikeAtRandom runs one handover, and strikes once. It says what came of it.
func (r *run) strikeAtRandom(random *rand.Rand) string {
	r.t.Helper()
	r.Renew()
	begun := r.Watch(func(line string) bool { return started.MatchString(line) })
	offered := r.WatchFor("event=OFFER to=preparing")
	incumbent := r.PID()
	r.upgrade()
	successor, _ := strconv.Atoi(started.FindStringSubmatch(r.Line(begun, "no handover begins"))[1])

	victim, side := incumbent, "incumbent"
	span := probation * 3 / 2
	if random.IntN(2) == 0 {
		victim, side = successor, "successor"
		span = probation / 2
	}
	signal := []string{"KILL", "STOP"}[random.IntN(2)]
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
		if signal == "KILL" {
			r.Driver.Killed(victim, r.Kill(victim))
		} else {
			r.Signal(victim, syscall.SIGSTOP)
			still := time.NewTimer(time.Duration(random.Int64N(int64(300 * time.Millisecond))))
			<-still.C
			r.Signal(victim, syscall.SIGCONT)
		}
	}
	outcome := r.settle()
	r.Answers(20)
	handovertest.AssertLostInCrashOnly(r.t, r.Driver.Snapshot())
	_, message, _ := strings.Cut(outcome, "msg=")
	message, _, _ = strings.Cut(message, " build=")
	return side + " " + signal + ": " + message
}
