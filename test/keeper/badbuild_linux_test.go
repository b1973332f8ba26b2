package keeper

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/test/internal/executable"
	"github.com/handover-go/handover/test/internal/journal"
	"github.com/handover-go/handover/test/internal/rig"
)

// badBuild is what stands at the service's path when it is to be upgraded.
type badBuild struct {
	name    string
	put     func(r *run)
	outcome string
	code    wire.Code
	reason  string   // what the reply, and the keeper's log, must say of it
	flags   []string // of the keeper
}

// healthy has the keeper ask for health. A deaf build answers id=check, until others have asked it.
func healthy(path string) []string {
	return []string{"-health", path, "-interval", "50ms", "-timeout", "3s"}
}

var badBuilds = []badBuild{
	{"a text file", file("not a program\n"), "aborted", wire.CodeVerification, "", nil},
	{"an empty file", file(""), "aborted", wire.CodeVerification, "empty", nil},
	{"another architecture", putForeign, "aborted", wire.CodeVerification, "is ELF 64-bit", nil},
	{"cut within its header", putCut(40), "aborted", wire.CodeVerification, "", nil},
	{"cut in half", putCut(0), "aborted", wire.CodeVerification, "", nil},
	{"missing", func(r *run) { must(r.t, os.Remove(r.program)) }, "aborted", wire.CodeVerification, "does not exist", nil},
	{"exits at once", flawed("exit"), "aborted", wire.CodeFailed, "exit status 1", nil},
	{"hangs before it is ready", flawed("hang"), "aborted", wire.CodeDeadline, "the successor was not ready in time", nil},
	{"fails its check", flawed("check"), "aborted", wire.CodeFailed, "this build does not feel well", nil},
	{"fails the keeper's check", putSick, "aborted", wire.CodeFailed, "the keeper's check: 3 checks failed in a row, the last: GET /?id=health: status 503", healthy("/?id=health")},
}

// TestBadBuildIsRefusedAndLosesNothing upgrades, under load, to what is no good build: the incumbent never stops answering,
// whoever asked is told why, and a good build upgrades it straight afterwards.
func TestBadBuildIsRefusedAndLosesNothing(t *testing.T) {
	t.Parallel()
	for _, bad := range badBuilds {
		t.Run(bad.name, func(t *testing.T) {
			t.Parallel()
			limit := "10s"
			if bad.code == wire.CodeDeadline { // it is waited out
				limit = "3s"
			}
			r := start(t, kept{flags: bad.flags, env: []string{"HANDOVER_READY_TIMEOUT=" + limit}}).drive()
			incumbent := r.PID()
			bad.put(r)
			r.Renew() // that may have been built
			r.fails(bad)
			r.AssertServes(incumbent)
			r.assertAlone()
			r.upgrades()
			r.Finish()
		})
	}
}

// fails asks for a handover at the takeover socket, and checks how it fails, and that the keeper's log and the status say the same.
func (r *run) fails(bad badBuild) (said string) {
	r.t.Helper()
	w := r.WatchFor(over)
	reply := r.ask(&wire.Upgrade{})
	if reply.Outcome != bad.outcome || reply.Code != bad.code || reply.Error == "" || !strings.Contains(reply.Error, bad.reason) {
		r.t.Errorf("reply %+v, want it %s, code %s, and %q for its error", reply, bad.outcome, bad.code, bad.reason)
	}
	said = r.Line(w)
	if journal.Attribute(said, "outcome") != bad.outcome || journal.Attribute(said, "error") != reply.Error {
		r.t.Errorf("the keeper says:\n%s\nand replies %+v", said, reply)
	}
	if s := r.ask(status).Status; s.State != "serving" || s.Keeper.Last != reply.Error {
		r.t.Errorf("status %+v, keeper %+v, want it serving, and the last error", s, s.Keeper)
	}
	r.t.Log(reply.Error)
	return said
}

// lateBuilds are found out after the commit, and taken back.
var lateBuilds = []badBuild{
	{"crashes at its tenth request", flawed("crash"), "resumed", wire.CodeFailed, "exit status 3", nil},
	{"crashes after a second", flawed("late"), "resumed", wire.CodeFailed, "exit status 3", nil},
	{"crashes while its health is asked", flawed("crash"), "resumed", wire.CodeFailed, "exit status 3", healthy("/?id=check")},
	{"fails the keeper's check on probation", flawed("deaf"), "resumed", wire.CodeFailed, "the keeper's check: 3 checks failed in a row",
		append(healthy("/?id=check"), "-timeout", "500ms")}, // which each of the three waits out
}

// TestBuildThatIsBadAfterTheCommitIsTakenBack loses what the bad build had taken, and nothing else.
func TestBuildThatIsBadAfterTheCommitIsTakenBack(t *testing.T) {
	t.Parallel()
	for _, bad := range lateBuilds {
		t.Run(bad.name, func(t *testing.T) {
			t.Parallel()
			r := start(t, kept{flags: bad.flags, env: []string{
				"HANDOVER_PROBATION=15s", "HANDOVER_CHECK_FAILURES=1000", "HANDOVER_DRAIN_TIMEOUT=5s",
			}}).drive()
			incumbent := r.PID()
			bad.put(r)
			serves, back := r.WatchFor(proving), r.WatchFor(resumed)
			r.fails(bad)
			// From now on the bad build accepts nothing, and what it has taken is lost, dead or alive.
			pid := journal.Number(t, r.Line(serves), "pid")
			r.Driver.Killed(pid, r.died(pid, journal.Written(t, r.Line(back))))
			r.Answers(20)
			if got := r.PID(); got != incumbent {
				t.Errorf("process %d answers, want the incumbent, %d", got, incumbent)
			}
			r.swap(rig.Build(t, ""))
			ended := r.WatchFor(over)
			v := r.asksTo(watched)
			v.says(wire.VotePromote, "") // the bad build alone needed such a probation
			v.ends("final")
			r.wantFinal(r.Line(ended))
			report := r.finishAfterCrash()
			r.assertAlone()
			t.Logf("%d requests, %d lost with the bad build, longest gap %s", report.Requests, report.LostInCrash, report.LongestGap)
		})
	}
}

// died is when a process that crashes by itself says that it does, or else the instant given.
func (r *run) died(pid int, otherwise time.Time) time.Time {
	for line := range strings.Lines(r.Output(1 << 20)) {
		if strings.Contains(line, `msg="crashing"`) && journal.Number(r.t, line, "pid") == pid {
			return time.Unix(0, int64(journal.Number(r.t, line, "at")))
		}
	}
	return otherwise
}

// TestHealthyBuildPassesTheKeepersCheck upgrades under a keeper that asks for health, before the commit and on probation.
func TestHealthyBuildPassesTheKeepersCheck(t *testing.T) {
	t.Parallel()
	r := start(t, kept{flags: healthy("/?id=health")}).drive()
	for range 3 {
		r.upgrades()
	}
	r.Finish()
}

// file puts a file there.
func file(content string) func(*run) {
	return func(r *run) { executable.Replace(r.t, r.program, []byte(content), 0o755) }
}

// flawed puts a build with that flaw there.
func flawed(flaw string) func(*run) { return func(r *run) { r.swap(rig.Build(r.t, flaw)) } }

// putSick puts a build there that is not healthy.
func putSick(r *run) { r.swap(handovertest.Build(r.t, "./sick")) }

// putCut puts the first bytes of a good build there: half of it, if size is 0.
func putCut(size int) func(*run) {
	return func(r *run) {
		program, err := os.ReadFile(rig.Build(r.t, ""))
		must(r.t, err)
		n := size
		if n == 0 {
			n = len(program) / 2
		}
		executable.Replace(r.t, r.program, program[:n], 0o755)
	}
}

// putForeign puts a program for another processor there.
func putForeign(r *run) {
	foreign := "arm64"
	if runtime.GOARCH == foreign {
		foreign = "amd64"
	}
	path := filepath.Join(r.t.TempDir(), "foreign")
	cmd := exec.CommandContext(r.t.Context(), "go", "build", "-o", path, "../lifecycle/testdata/foreign")
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+foreign, "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("build for %s: %v\n%s", foreign, err, out)
	}
	r.swap(path)
}
