package keeper

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/handover-go/handover/handovertest"
)

// TestMemoryThatRunsOutInTheOverlapCostsTheSuccessor: whom the kernel would take first (oom_score, proc_pid_oom_score(5)), is ended as the
// kernel does. Guard: generation.expend; without it that is the incumbent, which has the larger memory. When the handover is final, the
// one that serves is as any other.
func TestMemoryThatRunsOutInTheOverlapCostsTheSuccessor(t *testing.T) {
	t.Parallel()
	r := start(t, kept{env: []string{"HANDOVER_PROBATION=20s"}}).drive()
	usual := r.adjusted(r.PID())
	proves := r.WatchFor(proving)
	incumbent, successor := r.begin()
	r.Line(proves)
	took := r.WatchFor(over)
	victim, worst := 0, -1
	for _, pid := range []int{incumbent, successor} {
		if score := r.figureIn(pid, "oom_score"); score > worst {
			victim, worst = pid, score
		}
	}
	if victim != successor {
		t.Fatalf("the kernel would take process %d of incumbent %d and successor %d", victim, incumbent, successor)
	}
	r.kill(victim)
	if line := r.Line(took); !strings.Contains(line, "outcome=resumed") {
		t.Errorf("%s", line)
	}
	if pid := r.PID(); pid != incumbent {
		t.Errorf("process %d answers, want %d", pid, incumbent)
	}
	r.Answers(20)
	r.finishAfterCrash() // the successor may have had connections
	if now := r.adjusted(incumbent); now != usual {
		t.Errorf("oom_score_adj %d, it was %d", now, usual)
	}
}

// TestGenerationIsNoLongerExpendableOnceItServes tells the other half.
func TestGenerationIsNoLongerExpendableOnceItServes(t *testing.T) {
	t.Parallel()
	r := start(t, kept{}).drive()
	usual := r.adjusted(r.PID())
	r.wantFinal(r.upgrade())
	if now := r.adjusted(r.PID()); now != usual {
		t.Errorf("oom_score_adj %d, before %d", now, usual)
	}
	handovertest.AssertNothingLost(t, r.Finish())
}

func (r *run) adjusted(pid int) int { return r.figureIn(pid, "oom_score_adj") }

func (r *run) figureIn(pid int, file string) int {
	r.t.Helper()
	content, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), file))
	must(r.t, err)
	n, err := strconv.Atoi(strings.TrimSpace(string(content)))
	must(r.t, err)
	return n
}
