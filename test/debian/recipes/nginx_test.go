//go:build debian

package recipes

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/test/internal/control"
)

// stays makes sure that an upgrade to a release ends like that, and that the master that served serves on, alone.
func (k *kept) stays(dir, outcome string, parts ...string) {
	k.t.Helper()
	before := k.status()
	k.stayed(before, k.upgrade(dir), outcome, parts...)
}

func (k *kept) stayed(before *wire.ServiceStatus, reply *wire.Reply, outcome string, parts ...string) {
	k.t.Helper()
	if reply.Outcome != outcome {
		k.t.Fatalf("%+v, want it %s\n%s", reply, outcome, k.said())
	}
	for _, part := range parts {
		if !strings.Contains(reply.Error, part) {
			k.t.Errorf("error %q does not say %q", reply.Error, part)
		}
	}
	k.alone()
	if after := k.status(); after.PID != before.PID || after.Generation != before.Generation {
		k.t.Errorf("process %d serves, want %d", after.PID, before.PID)
	}
	if at, err := os.Readlink(filepath.Join(k.state, "nginx/release")); err != nil || at != k.release(1) {
		k.t.Errorf("the link leads to %q, want %q: %v", at, k.release(1), err)
	}
}

func TestNginxWithAWrongConfigurationIsRefusedBeforeAnybodyIsTouched(t *testing.T) {
	t.Parallel()
	k := keepNginx(t)
	d := k.drive(everyRequest)
	k.stays(k.renew("default_type text/plain", "defult_type text/plain"), "aborted", "unknown directive", "defult_type")
	r := d.Stop()
	nobodyRefused(t, r)
	if r.Lost() > 0 {
		t.Errorf("lost: %s", r.String())
	}
}

func TestNginxThatIsNotHealthyIsEndedBeforeTheCommit(t *testing.T) {
	t.Parallel()
	k := keepNginx(t, "--ready-timeout", "3s")
	d := k.drive(everyRequest)
	k.stays(k.renew("return 204", "return 503"), "aborted", "not ready within 3s", "status 503")
	must(t, d.WaitAnswers(k.ctx, 20))
	nobodyRefused(t, d.Stop())
}

// TestNginxThatIsVotedAgainstReturnsToTheMasterBefore, whose workers had ended already.
func TestNginxThatIsVotedAgainstReturnsToTheMasterBefore(t *testing.T) {
	t.Parallel()
	k := keepNginx(t, "--probation", "1h")
	d := k.drive(everyRequest)
	before := k.status()
	link := k.begins(k.renew())
	reply := k.whileProving(link, func() {
		k.eventually("master without workers", func() bool { return len(workers(t, before.PID)) == 0 })
		must(t, link.Send(0, &wire.Vote{Verdict: wire.VoteFail, Reason: "not this one"}))
	})
	k.stayed(before, reply, "resumed", "not this one")
	k.answers(d, before.PID)
	nobodyRefused(t, d.Stop())
	must(t, link.Send(0, &wire.Upgrade{Dir: k.renew(), Watch: true})) // the next one can start at once
	must(t, link.Send(0, &wire.Vote{Verdict: wire.VotePromote}))
	if reply := k.whileProving(link, func() {}); reply.Outcome != "final" {
		t.Errorf("%+v\n%s", reply, k.said())
	}
}

// TestNextMasterOfNginxKilledOnProbationIsTakenBack, and its workers finish, which had lost their master.
func TestNextMasterOfNginxKilledOnProbationIsTakenBack(t *testing.T) {
	t.Parallel()
	k := keepNginx(t, "--probation", "1h")
	d := k.drive(everyRequest)
	before := k.status()
	link := k.begins(k.renew())
	var left []int
	reply := k.whileProving(link, func() {
		for _, g := range k.status().Keeper.Generations {
			if g.PID != before.PID {
				left = k.staffed(g.PID)
				must(t, syscall.Kill(g.PID, syscall.SIGKILL))
			}
		}
	})
	k.stayed(before, reply, "resumed")
	k.ended(left)
	k.answers(d, before.PID)
	nobodyRefused(t, d.Stop())
}

// TestKilledMasterOfNginxRefusesNobody: its workers answer until the next one does.
func TestKilledMasterOfNginxRefusesNobody(t *testing.T) {
	t.Parallel()
	k := keepNginx(t)
	d := k.drive(everyRequest)
	before := k.status()
	left := workers(t, before.PID)
	must(t, syscall.Kill(before.PID, syscall.SIGKILL))
	k.eventually("another master that serves", func() bool {
		s := k.status()
		return s.State == "serving" && s.PID != before.PID
	})
	k.ended(left)
	k.answers(d, k.status().PID)
	r := d.Stop()
	nobodyRefused(t, r)
	record(t, "nginx, master killed", 1, r)
	k.upgraded()
}

// TestMasterOfNginxKilledDuringAnUpgradeLeavesTheNextOne.
func TestMasterOfNginxKilledDuringAnUpgradeLeavesTheNextOne(t *testing.T) {
	t.Parallel()
	k := keepNginx(t, "--probation", "1h")
	d := k.drive(everyRequest)
	before := k.status()
	link := k.begins(k.renew())
	reply := k.whileProving(link, func() { must(t, syscall.Kill(before.PID, syscall.SIGKILL)) })
	if reply.Outcome != "final" || reply.PID == before.PID {
		t.Fatalf("%+v\n%s", reply, k.said())
	}
	k.alone()
	must(t, d.WaitAnswers(k.ctx, 20))
	nobodyRefused(t, d.Stop())
}

func TestKeeperToldToEndInAnUpgradeLeavesNothingOfNginx(t *testing.T) {
	t.Parallel()
	k := keepNginx(t, "--probation", "1h")
	before := k.status()
	link := k.begins(k.renew())
	var left []int
	reply := k.whileProving(link, func() {
		for _, g := range k.status().Keeper.Generations {
			if g.PID != before.PID {
				k.staffed(g.PID)
			}
			left = append(append(left, g.PID), workers(t, g.PID)...)
		}
		if _, err := control.Ask(k.takeover, &wire.Stop{}, patience, nil); err != nil {
			t.Error(err)
		}
	})
	if reply.Outcome != "aborted" || len(left) < 4 {
		t.Errorf("%+v, of processes %d", reply, left)
	}
	k.ended(left)
}

// TestRollbackOfNginxLeadsBack to the release before.
func TestRollbackOfNginxLeadsBack(t *testing.T) {
	t.Parallel()
	k := keepNginx(t)
	k.upgraded()
	reply, err := control.Ask(k.takeover, &wire.Upgrade{Rollback: true, Watch: true}, patience, nil)
	must(t, err)
	if at, _ := os.Readlink(filepath.Join(k.state, "nginx/release")); reply.Outcome != "final" || at != k.release(1) {
		t.Errorf("%+v, in %q\n%s", reply, at, k.said())
	}
}

// TestReplacedKeeperUpgradesItsNginx though an earlier program of the keeper started it.
func TestReplacedKeeperUpgradesItsNginx(t *testing.T) {
	t.Parallel()
	k := keepNginx(t)
	for range 2 {
		if reply, err := control.Ask(k.takeover, &wire.Upgrade{Keeper: true, Watch: true}, patience, nil); err != nil || reply.Outcome != "final" {
			t.Fatalf("%+v, %v\n%s", reply, err, k.said())
		}
		k.upgraded()
	}
}

// begins has the keeper begin an upgrade to a release, and returns the conversation that tells of it.
func (k *kept) begins(dir string) *wire.Link {
	k.t.Helper()
	link, err := control.Dial(k.takeover, patience)
	must(k.t, err)
	k.t.Cleanup(func() { _ = link.Close() })
	must(k.t, link.Send(0, &wire.Upgrade{Dir: dir, Watch: true}))
	return link
}

// whileProving reads what the keeper tells of an upgrade until the reply, and acts once when the next one is on probation.
func (k *kept) whileProving(link *wire.Link, act func()) *wire.Reply {
	k.t.Helper()
	_ = link.SetReceiveDeadline(time.Now().Add(patience))
	for {
		f, err := link.Receive()
		if err != nil {
			k.t.Fatalf("%v\n%s", err, k.said())
		}
		switch m := f.Message.(type) {
		case *wire.Reply:
			return m
		case *wire.State:
			if m.State == "probation" {
				act()
			}
		}
	}
}

// answers waits until a worker of a master has answered.
func (k *kept) answers(d *handovertest.Driver, master int) {
	k.t.Helper()
	k.eventually("worker", func() bool { return len(workers(k.t, master)) > 0 })
	must(k.t, d.WaitPID(k.ctx, workers(k.t, master)[0]))
}

// staffed returns both workers of a master, once they have named themselves.
func (k *kept) staffed(master int) (pids []int) {
	k.t.Helper()
	k.eventually("master with two workers", func() bool {
		pids = workers(k.t, master)
		return len(pids) == 2
	})
	return pids
}

// workers are the children of a master that are not about to end.
func workers(t *testing.T, master int) (pids []int) {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	must(t, err)
	for _, dir := range dirs {
		stat, _ := os.ReadFile(filepath.Join(dir, "stat"))
		_, rest, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest)
		title, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		if len(fields) > 1 && fields[1] == strconv.Itoa(master) && strings.HasPrefix(string(title), "nginx: worker process") && !strings.Contains(string(title), "shutting") {
			pid, _ := strconv.Atoi(filepath.Base(dir))
			pids = append(pids, pid)
		}
	}
	return pids
}

// ended waits until processes have.
func (k *kept) ended(pids []int) {
	k.t.Helper()
	if len(pids) == 0 {
		k.t.Error("there were no workers")
	}
	for _, pid := range pids {
		k.eventually("end of worker "+strconv.Itoa(pid), func() bool { return syscall.Kill(pid, 0) != nil })
	}
}
