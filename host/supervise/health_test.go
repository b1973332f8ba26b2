package supervise

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/handover-go/handover/host/judge"
	"github.com/handover-go/handover/host/observe"
	"github.com/handover-go/handover/host/release"
	"github.com/handover-go/handover/host/service"
	"github.com/handover-go/handover/internal/wire"
)

// released is a supervisor of a service whose release 1 serves.
func released(t *testing.T) (s *Supervisor, one, two release.Release) {
	t.Helper()
	store, err := release.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	in := func(id string) release.Release {
		dir := filepath.Join(store.Dir(), "releases", id)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		return release.Release{ID: id, Dir: dir}
	}
	s = &Supervisor{releases: store, tell: func(Event) {}}
	one, two = in("1-abc"), in("2-abc")
	s.status = &service.Status{PID: 7, Keeper: &wire.Keeping{Generations: []wire.Living{{PID: 7, Dir: one.Dir}}}}
	return s, one, two
}

func TestChecksLieInTheReleaseOnTrial(t *testing.T) {
	s, one, two := released(t)
	rooted := s.probes([]observe.Probe{{Check: observe.Exec{Argv: []string{"probe"}}}})[0].Check.(tried).Check.(observe.Exec)
	if dir := rooted.Root(); dir != one.Dir {
		t.Errorf("outside of upgrades: in %s, want %s", dir, one.Dir)
	}
	s.newTrial(judge.Baseline{}, two)
	if dir := rooted.Root(); dir != two.Dir { // which nobody who answers has told of yet
		t.Errorf("on trial: in %s, want %s", dir, two.Dir)
	}
	s.trial = nil
	if dir := rooted.Root(); dir != one.Dir {
		t.Errorf("taken back: in %s, want %s", dir, one.Dir)
	}
}

// TestProgramOfACheckRunsAsTheService does: it may have come with the release, and the agent may be root.
func TestProgramOfACheckRunsAsTheService(t *testing.T) {
	account := &Account{Name: "someone", Home: "/home/someone", UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	groups := ""
	if account.UID == 0 { // then there is another that it can be
		account.UID, account.GID, account.Groups, groups = 65534, 65533, []uint32{65533, 7}, "65533 7"
	}
	s := &Supervisor{config: Config{Account: account}}
	script := `echo $(id -u) $(id -g) $USER $LOGNAME $HOME; [ -z "$0" ] || id -G`
	o := s.probes([]observe.Probe{{Check: observe.Exec{Name: "who", Argv: []string{"/bin/sh", "-c", script, groups}}}})[0].Check.Run(t.Context())
	want := strings.TrimSpace(fmt.Sprintf("%d %d someone someone /home/someone %s", account.UID, account.GID, groups))
	if !o.OK || o.Detail != want {
		t.Errorf("passed %t as %q, want %q", o.OK, o.Detail, want)
	}
}

// when is a check that does something before it passes.
type when func()

func (w when) Run(context.Context) judge.Check {
	w()
	return judge.Check{Name: "when", OK: true}
}

// TestCheckThatBeganBeforeTheTrialIsNotHeard: it has asked the build before.
func TestCheckThatBeganBeforeTheTrialIsNotHeard(t *testing.T) {
	s, _, two := released(t)
	s.config.Checks = []observe.Probe{{Failures: 2}}
	var begins func()
	check := s.probes([]observe.Probe{{Check: when(func() { begins() }), Failures: 2}})[0].Check
	var trial *trial
	begins = func() { trial = s.newTrial(judge.Baseline{}, two) }
	check.Run(t.Context())
	if trial.complete() || len(trial.heard) > 0 {
		t.Errorf("the trial has heard %+v, which began before it", trial.heard)
	}
	begins = func() {}
	check.Run(t.Context())
	if !trial.complete() || len(trial.heard) != 1 || trial.heard[0].Failures != 2 {
		t.Errorf("the trial has heard %+v of a check that began in it", trial.heard)
	}
	ended, end := context.WithCancel(t.Context())
	begins = end
	check.Run(ended)
	if len(trial.heard) != 1 {
		t.Errorf("the trial has heard %+v of a check that was cut short", trial.heard[1])
	}
}
