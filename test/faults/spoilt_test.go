//go:build linux

package faults

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/client"
)

// lateness is longer than a peer may be silent that is watched.
const lateness = 7500 * time.Millisecond

// moments are those at which a process is struck, and spoilt what can be wrong with a frame.
var (
	moments = map[string][]string{"send": {"before", "within", "after"}, "receive": {"before", "after"}}
	spoilt  = []string{"magic", "kind", "length", "body", "cut", "twice"}
)

// The frames that follow FINAL, those of the way back, and those between a keeper and a generation.
var (
	followSends = []string{"CONN", "CONN_ACK", "GONE"}
	returnSends = []string{"RETURN", "RESUME", "RETURNED", "RESUMED", "CONN", "CONN_ACK", "GONE"}
	keeperSends = []string{"REGISTER", "VOTE", "SUCCESSOR", "STATE"}
)

// late are the faults by which one of the frames is sent, or arrives, too late for a peer that is watched.
func late(frames []string) (all []fault) {
	for _, frame := range frames {
		for _, direction := range []string{"send", "receive"} {
			all = append(all, fault{direction, frame, lateness.String(), "DELAY"})
		}
	}
	return all
}

// wrong are the faults by which one of the frames is another than it should be.
func wrong(frames []string) (all []fault) {
	for _, frame := range frames {
		for _, part := range spoilt {
			all = append(all, fault{"send", frame, part, "CORRUPT"})
		}
	}
	return all
}

// sample runs some of the faults, which a seed chooses, or all with HANDOVER_COUNT=full.
func sample(t *testing.T, some int, all []fault, run func(*testing.T, fault)) {
	if os.Getenv("HANDOVER_COUNT") != "full" {
		random := rand.New(rand.NewPCG(seed(t), 0))
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		all = all[:some]
	}
	for _, f := range all {
		t.Run(strings.ReplaceAll(fmt.Sprint(f), " ", "_"), func(t *testing.T) {
			t.Parallel()
			run(t, f)
		})
	}
}

// spoil runs one handover in which a frame is late or wrong.
func spoil(t *testing.T, f fault) {
	r := armed(t, f, crowd, "HANDOVER_DRAIN_TIMEOUT="+drainTimeout.String())
	watch := r.watchStrike()
	r.upgrade()
	r.line(watch, "the fault never struck")
	t.Logf("%s: %s", f, r.settle())
	r.finishSpoilt(f)
}

// spoilReturn does so on the way back from a build that gives up.
func spoilReturn(t *testing.T, f fault) {
	r := armed(t, f, crowd, "HANDOVER_PROBATION=3s", "HANDOVER_DRAIN_TIMEOUT="+drainTimeout.String())
	r.Swap(build(t, "failing"))
	serving := r.Watch(func(line string) bool { return strings.Contains(line, `msg="serving on probation"`) })
	watch := r.watchStrike()
	r.upgrade()
	r.line(serving, "the successor does not serve")
	successor := r.PID()
	for range 3 { // which go back
		c := client.Dial(t, r.address, patience)
		c.Ask("/?id=idle")
		c.AnswerBy(successor)
	}
	once(t, r.address, "/?id=fail", successor)
	r.line(watch, "the fault never struck")
	t.Logf("%s: %s", f, r.settle())
	r.Swap(build(t, ""))
	r.finishSpoilt(f)
}

// finishSpoilt checks that the next upgrade works, and that nothing is lost but what was cut in the end.
func (r *run) finishSpoilt(f fault) {
	r.t.Helper()
	r.renew()
	if err := r.load.WaitAnswers(r.timeout, 20); err != nil {
		r.t.Fatalf("nobody answers: %v\n%s", err, r.Output(60))
	}
	r.Upgrade(1)
	r.renew()
	r.settled("one generation", func() (any, bool) { all := r.Family(); return all, len(all) == 1 })
	report := r.load.Stop()
	if f.loose() {
		report = forgive(report, crowd.Total())
	}
	handovertest.AssertLostInCrashOnly(r.t, report)
	if r.t.Failed() {
		r.t.Log(r.Output(120))
	}
}

// forgive leaves out what was lost on that many connections, which had been cut.
func forgive(report handovertest.Report, most int) handovertest.Report {
	cut := map[string]bool{}
	for _, l := range report.Losses {
		if l.Outcome == handovertest.Failed || l.Outcome == handovertest.Closed {
			cut[l.Local] = true
		}
	}
	if len(cut) <= most {
		report.Failed, report.Closed, report.Unwritten = 0, 0, 0
	}
	return report
}

// loose reports whether connections may be cut, whoever lives: after this fault a process that is to pass them on cannot reach the one
// that serves, or does not know what became of those that were on their way, until it is to end.
func (f fault) loose() bool {
	ways := slices.Concat([]string{"FINAL", "REDIRECT"}, returnSends)
	return f.effect == "CORRUPT" && slices.Contains(ways, f.frame)
}

// TestFrameThatComesLateLosesNothing has one frame of a handover be sent late, or arrive late, by more than a peer may be silent that is
// watched.
func TestFrameThatComesLateLosesNothing(t *testing.T) {
	sample(t, 4, late(slices.Concat(incumbentSends, successorSends, followSends)), spoil)
}

// TestFrameOfTheWayBackThatComesLateLosesNothing does so while a successor is taken back.
func TestFrameOfTheWayBackThatComesLateLosesNothing(t *testing.T) {
	sample(t, 2, late(returnSends), spoilReturn)
}

// TestFrameThatIsSpoiltLosesNothing has a bit of one frame of a handover be another, or the frame cut short, or come twice. What was on its
// way in that frame may be cut when the generation that has sent it ends.
func TestFrameThatIsSpoiltLosesNothing(t *testing.T) {
	sample(t, 6, wrong(slices.Concat(incumbentSends, successorSends, followSends)), spoil)
}

// TestFrameOfTheWayBackThatIsSpoiltLosesNothing does so while a successor is taken back.
func TestFrameOfTheWayBackThatIsSpoiltLosesNothing(t *testing.T) {
	sample(t, 2, wrong(returnSends), spoilReturn)
}

// TestGenerationThatMissesItsReleaseServesNeverAgain: RESUMED does not reach a successor that was taken back. The incumbent is succeeded by another
// and leaves, and its death makes nobody serve beside that one. Guards: life.happened, "l.state == returning && l.returned", for a link
// that is broken, and life.frame, "l.step(onResumed", for a frame that is lost.
func TestGenerationThatMissesItsReleaseServesNeverAgain(t *testing.T) {
	for _, f := range []fault{{"send", "RESUMED", "magic", "CORRUPT"}, {"send", "RESUMED", "cut", "CORRUPT"}, {"send", "RESUMED", "kind", "CORRUPT"}} {
		t.Run(f.moment, func(t *testing.T) {
			t.Parallel()
			spoilReturn(t, f)
		})
	}
}
