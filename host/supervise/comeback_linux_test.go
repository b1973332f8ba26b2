package supervise

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/handover-go/handover/host/internal/fake"
	"github.com/handover-go/handover/host/journal"
	"github.com/handover-go/handover/host/release"
	"github.com/handover-go/handover/internal/wire"
)

// TestBuildThatDoesNotServeIsNotKept by an agent that comes back in its bake time: somebody has gone back meanwhile, or to another build, or the
// power failed before the release was current. What serves is current then, if it is a release. It fails without the first look in bake.
func TestBuildThatDoesNotServeIsNotKept(t *testing.T) {
	for name, c := range map[string]struct {
		serves         func(*scene) wire.Living
		before         func(*scene) release.Release // current when the agent comes back
		state, current string
	}{
		"rolled back":      {func(sc *scene) wire.Living { return wire.Living{Dir: sc.one.Dir} }, two, "returned", "1.0.0"},
		"returned":         {func(sc *scene) wire.Living { return wire.Living{Dir: sc.one.Dir, Label: "shop/1/returned"} }, two, "returned", "1.0.0"},
		"power cut":        {func(sc *scene) wire.Living { return wire.Living{Dir: sc.one.Dir} }, one, "returned", "1.0.0"},
		"another release":  {func(sc *scene) wire.Living { return wire.Living{Dir: sc.added("3.0.0").Dir} }, two, "failed", "3.0.0"},
		"of no release":    {func(*scene) wire.Living { return wire.Living{Dir: "/opt", Digest: "ab12"} }, two, "failed", "1.0.0"},
		"by another label": {func(sc *scene) wire.Living { return wire.Living{Dir: sc.two.Dir, Label: "shop/9"} }, two, "failed", "2.0.0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sc := newScene(t, Config{Bake: time.Second})
			sc.must(sc.store.Activate(c.before(sc).ID))
			sc.answers("final", c.serves(sc))
			r := sc.underWay("baking", func(u *journal.Upgrade) { u.BakeUntil = time.Now() })
			sc.runs()
			r = sc.over(r.Number)
			committed, err := sc.store.Committed()
			if r.State != c.state || r.Reason == "" || len(r.Steps) != 3 || !strings.HasPrefix(sc.current(), c.current+"-") || committed != "1.0.0" || err != nil {
				t.Errorf("%s after %d steps: %s; current is %s, committed %s, %v", r.State, len(r.Steps), r.Reason, sc.current(), committed, err)
			}
		})
	}
}

func one(sc *scene) release.Release { return sc.one }
func two(sc *scene) release.Release { return sc.two }

// TestBuildThatSomebodyReplacesInItsBakeTimeIsNotKept, at the takeover socket, beside the agent. It fails without the look in the loop of bake.
func TestBuildThatSomebodyReplacesInItsBakeTimeIsNotKept(t *testing.T) {
	sc := newScene(t, Config{Bake: 20 * time.Second})
	f := sc.answers("final", wire.Living{Dir: sc.two.Dir, Label: "shop/1"})
	sc.s.config.Hook = func(_ context.Context, p Phase, _ journal.Upgrade) ([]string, error) {
		if p == Committed {
			f.Serves(wire.Living{Dir: sc.one.Dir})
		}
		return nil, nil
	}
	r := sc.underWay("baking", func(u *journal.Upgrade) { u.BakeUntil = time.Now().Add(20 * time.Second) })
	began := time.Now()
	sc.runs()
	if r = sc.over(r.Number); r.State != "returned" || sc.current() != sc.one.ID || time.Since(began) > 15*time.Second {
		t.Errorf("%s after %s: %s; current is %s", r.State, time.Since(began), r.Reason, sc.current())
	}
}

// TestBuildIsKeptByWhatServesAtTheEnd of its bake time, whatever was told before: it fails without the look before Commit, or if what was told last is
// believed.
func TestBuildIsKeptByWhatServesAtTheEnd(t *testing.T) {
	for name, c := range map[string]struct {
		told  func(*scene) wire.Living // before the end
		state string
	}{"kept": {func(sc *scene) wire.Living { return wire.Living{PID: fake.PID, Dir: sc.one.Dir} }, "kept"}, "returned": {nil, "returned"}} {
		t.Run(name, func(t *testing.T) {
			sc := newScene(t, Config{Bake: -1})
			f := sc.answers("final", wire.Living{Dir: sc.two.Dir, Label: "shop/1"})
			var u *upgrade
			sc.s.config.Hook = func(_ context.Context, p Phase, _ journal.Upgrade) ([]string, error) {
				switch {
				case p != Committed:
					return nil, nil
				case c.told != nil: // as one who had asked before the commit
					sc.s.note(&wire.ServiceStatus{PID: fake.PID, Keeper: &wire.Keeping{Generations: []wire.Living{c.told(sc)}}}, "")
				default:
					f.Serves(wire.Living{Dir: sc.one.Dir})
				}
				u.mu.Lock()
				defer u.mu.Unlock()
				u.paused = false
				return nil, nil
			}
			u = sc.s.newUpgrade(sc.underWay("proving", nil), sc.one)
			u.to, u.paused = sc.two, true // until the hook has been heard: the disk may be slow
			u.bake(t.Context(), time.Now().Add(600*time.Millisecond))
			if r := u.snapshot(); r.State != c.state {
				t.Errorf("%s: %s", r.State, r.Reason)
			}
		})
	}
}

// TestBuildOfWhichNobodyTellsIsWatchedOn: a generation whose keeper has died knows no releases, and a keeper that starts a service again has none that
// serves. It fails if only a build that is known to serve may be kept.
func TestBuildOfWhichNobodyTellsIsWatchedOn(t *testing.T) {
	sc := newScene(t, Config{})
	u := sc.s.newUpgrade(sc.underWay("baking", nil), sc.one)
	u.to = sc.two
	outside := func(digest string) *wire.ServiceStatus { // of its release, by Config.Directory
		return &wire.ServiceStatus{PID: 7, Keeper: &wire.Keeping{Generations: []wire.Living{{PID: 7, Dir: "/srv", Digest: digest}}}}
	}
	for _, c := range []struct {
		what string
		says *wire.ServiceStatus
		want build
	}{
		{"nobody", nil, unknown},
		{"no keeper", &wire.ServiceStatus{PID: 7}, unknown},
		{"none serves", &wire.ServiceStatus{Keeper: &wire.Keeping{Generations: []wire.Living{{PID: 7, Dir: sc.one.Dir}}}}, unknown},
		{"started again", &wire.ServiceStatus{PID: 7, Keeper: &wire.Keeping{Generations: []wire.Living{{PID: 7, Dir: sc.two.Dir}}}}, theNew},
		{"by its label", &wire.ServiceStatus{PID: 7, Keeper: &wire.Keeping{Generations: []wire.Living{{PID: 7, Label: "shop/1"}}}}, theNew},
		{"in a directory of its own, by its program", outside(sc.two.Manifest.Files[0].SHA256), theNew},
		{"in a directory of its own, by the program before", outside(sc.one.Manifest.Files[0].SHA256), theOld},
		{"in a directory of its own, and not kept", outside(""), unknown},
	} {
		if got := u.whose(c.says); got != c.want {
			t.Errorf("%s: %d, want %d", c.what, got, c.want)
		}
	}
}

// TestBuildWithoutReleasesIsToldByItsDigest, where no label tells. It fails if a digest is taken for the name of a release, or nobody's word for somebody's.
func TestBuildWithoutReleasesIsToldByItsDigest(t *testing.T) {
	s, j := supervised(t, Config{Command: "/bin/true"}, t.TempDir())
	defer j.Close()
	serves := func(digest, label string) *wire.ServiceStatus {
		return &wire.ServiceStatus{PID: 7, Keeper: &wire.Keeping{Running: digest + "56789abcdef", Generations: []wire.Living{{PID: 7, Dir: "/", Label: label}}}}
	}
	u := s.newUpgrade(journal.Upgrade{Service: "shop", Number: 2, From: "sha256:a56789abcdef", To: "sha256:b56789abcdef"}, release.Release{})
	for _, c := range []struct {
		digest, label string
		want          build
	}{{"b", "shop/2", theNew}, {"b", "", theNew}, {"a", "", theOld}, {"a", "shop/1", theOld}, {"c", "", another}, {"b", "shop/3", another}} {
		if got := u.whose(serves(c.digest, c.label)); got != c.want {
			t.Errorf("%s by %q: %d, want %d", c.digest, c.label, got, c.want)
		}
	}
	u.update(func(r *journal.Upgrade) { r.To = "" }) // a keeper that knows no labels
	if got := u.whose(serves("a", "")); got != unknown {
		t.Errorf("where nobody can tell: %d", got)
	}
}

// TestServiceIsKeptThoughAReleaseOfAnUnfinishedUpgradeIsDamaged: the upgrade ends, and says why. It fails if comeBack gives up.
func TestServiceIsKeptThoughAReleaseOfAnUnfinishedUpgradeIsDamaged(t *testing.T) {
	for _, which := range []string{"from", "to"} {
		t.Run(which, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sc := newScene(t, Config{})
				damaged := map[string]release.Release{"from": sc.one, "to": sc.two}[which]
				sc.must(os.RemoveAll(damaged.Dir), os.Mkdir(damaged.Dir, 0o755))
				r := sc.underWay("baking", nil)
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- sc.s.Run(ctx) }()
				<-time.After(time.Hour)
				synctest.Wait()
				r, err := sc.journal.Upgrade("shop", r.Number)
				if err != nil || r.State != "failed" || r.Reason == "" {
					t.Errorf("on record is %s: %s, %v", r.State, r.Reason, err)
				}
				if st := sc.s.Status(); st.State != Failed || st.Reason == "" { // no keeper could be started
					t.Errorf("the service is %s: %q", st.State, st.Reason)
				}
				cancel()
				sc.must(<-ended)
			})
		})
	}
}

// TestBuildIsTakenBackThoughTheReleaseBeforeIsDamaged on disk, once: the keeper has the build. It fails if the keeper is asked for a file of a release
// that cannot be read, or back does not know the label of the return.
func TestBuildIsTakenBackThoughTheReleaseBeforeIsDamaged(t *testing.T) {
	for serves, times := range map[string]int{"shop/1": 1, "shop/1/returned": 0} {
		t.Run(serves, func(t *testing.T) {
			sc := newScene(t, Config{})
			sc.must(os.RemoveAll(sc.one.Dir), os.Mkdir(sc.one.Dir, 0o755))
			f := sc.answers("final", wire.Living{Dir: sc.two.Dir, Label: serves})
			r := sc.underWay("returning", nil)
			sc.runs()
			if r = sc.over(r.Number); r.State != "returned" {
				t.Errorf("%s: %s", r.State, r.Reason)
			}
			asked := f.Upgrades()
			if len(asked) != times || times > 0 && (!asked[0].Rollback || asked[0].Binary != "") {
				t.Errorf("the keeper was asked for %+v", asked)
			}
		})
	}
}

// TestBuildThatIsDamagedOnDiskIsTakenBack: it serves, and could not be started again. It fails if what cannot be made current is kept.
func TestBuildThatIsDamagedOnDiskIsTakenBack(t *testing.T) {
	sc := newScene(t, Config{})
	sc.must(os.RemoveAll(sc.two.Dir), os.Mkdir(sc.two.Dir, 0o755))
	f := sc.answers("final", wire.Living{Dir: sc.two.Dir, Label: "shop/1"})
	r := sc.underWay("proving", nil)
	sc.runs()
	if r = sc.over(r.Number); r.State != "returned" || sc.current() != sc.one.ID {
		t.Errorf("%s: %s; current is %s", r.State, r.Reason, sc.current())
	}
	if asked := f.Upgrades(); len(asked) != 2 || !strings.HasPrefix(asked[1].Binary, sc.one.Dir) { // the first is Follow
		t.Errorf("the keeper was asked for %+v", asked)
	}
}

// TestServiceWhoseJournalCannotBeReadIsLeftAtOnce, with the error: it fails if Run waits for what it has begun without ending it.
func TestServiceWhoseJournalCannotBeReadIsLeftAtOnce(t *testing.T) {
	sc := newScene(t, Config{})
	sc.must(sc.journal.Close())
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { ended <- sc.s.Run(ctx) }()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("it ended without an error")
		}
		if st := sc.s.Status(); st.Reason == "" {
			t.Errorf("the service is %s, and nobody knows why", st.State)
		}
		if _, err := sc.s.Upgrade(t.Context(), Wish{}); !errors.Is(err, ErrLeft) {
			t.Errorf("an upgrade: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it has not ended")
	}
	cancel()
}

// TestRestOfABakeTimeIsBounded by the configured one: the clock may have been set since. It fails without the ceiling.
func TestRestOfABakeTimeIsBounded(t *testing.T) {
	for _, c := range []struct{ onRecord, bake, want time.Duration }{
		{time.Minute, time.Hour, time.Minute},
		{20 * 365 * 24 * time.Hour, time.Hour, time.Hour},
		{-time.Hour, time.Hour, leastBake},
		{time.Second, time.Second, leastBake},
		{time.Minute, -1, leastBake},
	} {
		if got := bakeLeft(c.onRecord, c.bake); got != c.want {
			t.Errorf("of %s, %s by the record: %s, want %s", c.bake, c.onRecord, got, c.want)
		}
	}
}
