//go:build linux

package faults

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/client"
	"github.com/handover-go/handover/test/internal/count"
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
	if !count.Full() {
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
	r.Line(watch, "the fault never struck")
	t.Logf("%s: %s", f, r.settle())
	r.finishSpoilt(f)
}

// spoilReturn does so on the way back from a build that gives up.
func spoilReturn(t *testing.T, f fault) {
	r, _ := returned(t, f)
	r.finishSpoilt(f)
}

// returned has the fault strike while a successor is taken back; the next build is good.
func returned(t *testing.T, f fault) (r *run, outcome string) {
	t.Helper()
	r = armed(t, f, crowd, "HANDOVER_PROBATION=3s", "HANDOVER_DRAIN_TIMEOUT="+drainTimeout.String())
	r.Swap(build(t, "failing"))
	watch := r.watchStrike()
	successor := r.prove()
	for range 3 { // which go back
		c := client.Dial(t, r.address, patience)
		c.IsOf(successor)
	}
	once(t, r.address, "/?id=fail", successor)
	r.Line(watch, "the fault never struck")
	outcome = r.settle()
	t.Logf("%s: %s", f, outcome)
	r.Swap(build(t, ""))
	return r, outcome
}

// finishSpoilt checks that the next upgrade works, and that nothing is lost but what was cut in the end.
func (r *run) finishSpoilt(f fault) {
	r.t.Helper()
	r.Renew()
	r.Answers(20)
	r.Upgrade(1)
	r.Renew()
	r.Eventually("one generation", func() (any, bool) { all := r.Family(); return all, len(all) == 1 })
	report := r.Driver.Stop()
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
		if l.Outcome == handovertest.Failed || l.Outcome == handovertest.Closed || l.Outcome == handovertest.Unwritten {
			cut[l.Local] = true
		}
	}
	if len(cut) <= most {
		report.Failed, report.Closed = 0, 0
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
	t.Parallel()
	sample(t, 2, late(slices.Concat(incumbentSends, successorSends, followSends)), spoil)
}

// TestFrameOfTheWayBackThatComesLateLosesNothing does so while a successor is taken back.
func TestFrameOfTheWayBackThatComesLateLosesNothing(t *testing.T) {
	t.Parallel()
	sample(t, 1, late(returnSends), spoilReturn)
}

// TestFrameThatIsSpoiltLosesNothing has a bit of one frame of a handover be another, or the frame cut short, or come twice. What was on its
// way in that frame may be cut when the generation that has sent it ends.
func TestFrameThatIsSpoiltLosesNothing(t *testing.T) {
	t.Parallel()
	sample(t, 3, wrong(slices.Concat(incumbentSends, successorSends, followSends)), spoil)
}

// TestFrameOfTheWayBackThatIsSpoiltLosesNothing does so while a successor is taken back.
func TestFrameOfTheWayBackThatIsSpoiltLosesNothing(t *testing.T) {
	t.Parallel()
	sample(t, 1, wrong(returnSends), spoilReturn)
}

// TestGenerationThatMissesItsReleaseServesNeverAgain: RESUMED does not reach a successor that was taken back. The incumbent is succeeded by another
// and leaves, and its death makes nobody serve beside that one. Guards: life.happened, "l.state == returning && l.returned", for a link
// that is broken, and life.frame, "l.step(onResumed", for a frame that is lost.
func TestGenerationThatMissesItsReleaseServesNeverAgain(t *testing.T) {
	t.Parallel()
	for _, f := range noRelease {
		t.Run(f.moment, func(t *testing.T) {
			t.Parallel()
			spoilReturn(t, f)
		})
	}
}

// TestGenerationThatMissesItsReleaseIsToldAgain has the incumbent stay, and the successor leave all the same.
func TestGenerationThatMissesItsReleaseIsToldAgain(t *testing.T) {
	t.Parallel()
	for _, f := range noRelease {
		t.Run(f.moment, func(t *testing.T) {
			t.Parallel()
			r, _ := returned(t, f)
			r.Eventually("one generation", func() (any, bool) { all := r.Family(); return all, len(all) == 1 })
			r.finishSpoilt(f)
		})
	}
}

// TestSuccessorWhoseCallForHelpIsLostIsTakenBack: RETURN does not reach the incumbent. Guard: life.frame, "if l.state == asking"; without it the
// handover is final, and a build that cannot serve has the service.
func TestSuccessorWhoseCallForHelpIsLostIsTakenBack(t *testing.T) {
	t.Parallel()
	r, outcome := returned(t, fault{"send", "RETURN", "kind", "CORRUPT"})
	if !strings.Contains(outcome, `msg="successor taken back`) {
		t.Errorf("it ended so: %s", outcome)
	}
	r.finishSpoilt(fault{"send", "RETURN", "kind", "CORRUPT"})
}

// noRelease are ways in which RESUMED does not reach a successor.
var noRelease = []fault{{"send", "RESUMED", "magic", "CORRUPT"}, {"send", "RESUMED", "cut", "CORRUPT"}, {"send", "RESUMED", "kind", "CORRUPT"}}
