package keeper

import (
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/count"
	"github.com/handover-go/handover/test/internal/journal"
)

// probation of these handovers.
const probation = 300 * time.Millisecond

// TestStruckAtRandomInstantsTheServiceGoesOn kills or stops the keeper, either side, or both, at random instants of handovers, under
// load: 30 times, or 300 with HANDOVER_COUNT=full. HANDOVER_SEED repeats a run.
func TestStruckAtRandomInstantsTheServiceGoesOn(t *testing.T) {
	t.Parallel()
	seed, err := strconv.ParseUint(os.Getenv("HANDOVER_SEED"), 10, 64)
	if err != nil {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var r *run
	counts := map[string]int{}
	for round := range count.Of(30, 300) {
		if round%30 == 0 { // a fresh service now and then keeps ledger and log short
			if r != nil {
				r.finishAfterCrash()
				r.Stop()
			}
			r = start(t, kept{env: []string{"HANDOVER_PROBATION=" + probation.String()}, flags: []string{"-steady", "1ms"}}).drive()
		}
		counts[r.strikeAtRandom(random)]++
		if t.Failed() {
			t.Fatalf("round %d of seed %d\n%s", round, seed, r.Output(120))
		}
	}
	r.upgradesSoon()
	report := r.finishAfterCrash()
	r.assertAlone()
	for what, n := range counts {
		t.Logf("%d %s", n, what)
	}
	t.Logf("the last service: %d requests, %d lost in crashes, longest gap %s", report.Requests, report.LostInCrash, report.LongestGap)
}

// strikeAtRandom runs one handover, and strikes once. It says what.
func (r *run) strikeAtRandom(random *rand.Rand) string {
	r.t.Helper()
	r.Renew()
	incumbent, successor := r.begin()
	side := []string{"keeper", "incumbent", "successor", "both"}[random.IntN(4)]
	signal := []string{"KILL", "STOP"}[random.IntN(2)]
	instant := time.NewTimer(time.Duration(random.Int64N(int64(probation * 3 / 2))))
	<-instant.C
	for _, pid := range map[string][]int{"keeper": {r.keeper}, "incumbent": {incumbent}, "successor": {successor}, "both": {successor, incumbent}}[side] {
		if signal == "KILL" {
			r.strike(pid)
			continue
		}
		r.pause(pid, time.Duration(random.Int64N(int64(300*time.Millisecond))))
	}
	r.Answers(20)
	if side == "keeper" && signal == "KILL" {
		r.adoptSoon()
	}
	r.settled()
	report := r.Driver.Snapshot()
	handovertest.AssertLostInCrashOnly(r.t, report)
	if report.Refused > 0 {
		r.t.Errorf("refused: %s", report)
	}
	return side + " " + signal
}

// begin asks for a handover, as soon as what is under way is over.
func (r *run) begin() (incumbent, successor int) {
	r.t.Helper()
	for r.Ctx.Err() == nil {
		incumbent = r.PID()
		w := r.Watch(journal.SaysAny(launched, `msg="upgrade signal: no handover begins"`))
		r.Signal(r.keeper, syscall.SIGUSR2)
		if line := r.Line(w); strings.Contains(line, launched) {
			return incumbent, journal.Number(r.t, line, "pid")
		}
		soon := time.NewTimer(5 * time.Millisecond)
		<-soon.C
	}
	r.t.Fatalf("no handover begins\n%s", r.Output(80))
	return 0, 0
}

// pause stops a process that lives for a while.
func (r *run) pause(pid int, d time.Duration) {
	r.t.Helper()
	if _, sent := r.sends(pid, syscall.SIGSTOP); sent {
		still := time.NewTimer(d)
		<-still.C
		r.sends(pid, syscall.SIGCONT)
	}
}
