package supervise

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/host/journal"
	"github.com/handover-go/handover/host/release"
	"github.com/handover-go/handover/internal/wire"
)

// begun is an upgrade whose goroutine the test runs.
func (sc *scene) begun(w Wish) (r journal.Upgrade, run func(context.Context)) {
	sc.t.Helper()
	r, err := sc.s.Upgrade(sc.t.Context(), w)
	sc.must(err)
	return r, <-sc.s.upgrades
}

// breaks has the journal take nothing from now on, until the function that it returns is called.
func (sc *scene) breaks() (mended func()) {
	sc.must(sc.journal.Close())
	return func() {
		j, err := journal.Open(filepath.Join(sc.dir, "journal.db"))
		sc.must(err)
		sc.journal, sc.s.journal = j, j
	}
}

// TestEndThatTheDiskDidNotTakeBlocksNoUpgrade when there is room again, and is told meanwhile. It fails without Supervisor.unwritten.
func TestEndThatTheDiskDidNotTakeBlocksNoUpgrade(t *testing.T) {
	sc := newScene(t, Config{})
	var mended func()
	sc.s.config.Hook = func(_ context.Context, p Phase, _ journal.Upgrade) ([]string, error) {
		if p == Before {
			mended = sc.breaks()
		}
		return nil, ErrVetoed
	}
	first, run := sc.begun(Wish{Release: "1.0.0"})
	run(t.Context())
	if _, err := sc.s.Upgrade(t.Context(), Wish{Release: "1.0.0"}); err == nil {
		t.Error("an upgrade begins that is not on record")
	}
	limit, enough := context.WithTimeout(t.Context(), time.Second)
	defer enough()
	if r, err := sc.s.Wait(limit, first.Number, 1000); err != nil || r.State != "aborted" || r.Ended.IsZero() {
		t.Errorf("it is told as %s, %v", r.State, err)
	}
	mended()
	if all, err := sc.s.History(1); err != nil || len(all) != 1 || all[0].State != "aborted" {
		t.Errorf("the history tells %+v, %v", all, err)
	}
	second, _ := sc.begun(Wish{Release: "1.0.0"})
	r, err := sc.journal.Upgrade("shop", first.Number)
	if err != nil || second.Number != 2 || r.State != "aborted" || r.Ended.IsZero() || r.Reason != ErrVetoed.Error() {
		t.Errorf("number %d begins after %s: %s, %v", second.Number, r.State, r.Reason, err)
	}
}

// TestFirstReleaseIsAskedForAgainThoughTheDiskDidNotTakeTheEnd of the attempt before. It fails if fetchFirst does not keep that.
func TestFirstReleaseIsAskedForAgainThoughTheDiskDidNotTakeTheEnd(t *testing.T) {
	sc := newScene(t, Config{Trust: release.Policy{Name: "shop", AllowUnsigned: true}})
	var mended func()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if mended == nil {
			mended = sc.breaks()
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	defer server.Close()
	sc.s.config.Source = server.URL + "/shop"
	if err := sc.s.fetchFirst(t.Context()); err == nil || mended == nil {
		t.Fatalf("the first attempt: %v", err)
	}
	mended()
	if err := sc.s.fetchFirst(t.Context()); err == nil || errors.Is(err, journal.ErrUnfinished) {
		t.Errorf("the second attempt: %v", err)
	}
	if all, err := sc.journal.History("shop", 0); err != nil || len(all) != 2 || all[1].State != "aborted" || all[0].State != "aborted" {
		t.Errorf("on record are %+v, %v", all, err)
	}
}

// TestBuildIsTakenBackOnADiskThatTakesNothing: the keeper is asked at once. What it goes back to is current as soon as there is room, before anything
// else begins, and for the next agent too. It fails if returnOnce needs Activate, or conclude the journal alone.
func TestBuildIsTakenBackOnADiskThatTakesNothing(t *testing.T) {
	for _, next := range []string{"this agent", "the next agent"} {
		t.Run(next, func(t *testing.T) {
			sc := newScene(t, Config{})
			f := sc.answers("final", wire.Living{Dir: sc.two.Dir, Label: "shop/1"})
			u := sc.s.newUpgrade(sc.underWay("baking", nil), sc.one)
			u.to = sc.two
			room := sc.fills()
			limit, enough := context.WithTimeout(t.Context(), 10*time.Second)
			defer enough()
			u.giveBack(limit, errors.New("it is sick"))
			if asked := f.Upgrades(); len(asked) != 1 || asked[0].Dir != sc.one.Dir || !asked[0].Start.Kept {
				t.Errorf("the keeper was asked for %+v", asked)
			}
			f.Serves(wire.Living{Dir: sc.one.Dir, Label: "shop/1/returned"})
			if r := u.snapshot(); r.State != "returned" || !strings.HasPrefix(r.Reason, "it is sick; and ") || sc.current() != sc.two.ID {
				t.Errorf("%s: %s; current is %s", r.State, r.Reason, sc.current())
			}
			if _, err := sc.s.Upgrade(t.Context(), Wish{Release: "2.0.0"}); err == nil {
				t.Error("an upgrade begins from a release that does not serve")
			}
			room()
			if next == "this agent" {
				if r, _ := sc.begun(Wish{Release: "2.0.0"}); r.From != sc.one.ID {
					t.Errorf("the next upgrade is from %s", r.From)
				}
			} else {
				var err error
				sc.s, err = New(sc.s.config, sc.journal, func(Event) {})
				sc.must(err)
				sc.runs()
				if r := sc.over(1); r.State != "returned" {
					t.Errorf("the next agent says %s: %s", r.State, r.Reason)
				}
			}
			if r, err := sc.journal.Upgrade("shop", 1); err != nil || r.State != "returned" || sc.current() != sc.one.ID {
				t.Errorf("on record is %s, %v; current is %s", r.State, err, sc.current())
			}
			if asked := f.Upgrades(); len(asked) != 1 {
				t.Errorf("the keeper was asked %d times", len(asked))
			}
		})
	}
}

// TestReleaseThatARollbackGoesToIsNotPruned for others that were added since and came to nothing. It fails if prune is not told of it.
func TestReleaseThatARollbackGoesToIsNotPruned(t *testing.T) {
	sc := newScene(t, Config{Bake: -1})
	sc.must(sc.store.Activate(sc.one.ID))
	for _, refused := range []string{"2.0.1", "2.0.2", "2.0.3"} {
		sc.added(refused)
	}
	u := sc.s.newUpgrade(sc.underWay("proving", nil), sc.one)
	u.to = sc.two
	u.bake(t.Context(), time.Now())
	before, err := sc.s.before(sc.two.ID)
	if err == nil {
		_, err = sc.store.Get(before)
	}
	if before != sc.one.ID || err != nil {
		t.Errorf("a rollback of what was %s goes to %s: %v", u.snapshot().State, before, err)
	}
}

// TestBuildIsWatchedWhileHooksOfTheSwitchRun, as soon as it is final: it can be aborted, and hooks of the commit follow those of the switch. It fails if
// prove waits for its hooks.
func TestBuildIsWatchedWhileHooksOfTheSwitchRun(t *testing.T) {
	answer := make(chan struct{})
	sc := newScene(t, Config{})
	f := sc.answers("final", wire.Living{Dir: sc.one.Dir})
	sc.s.config.Hook = func(_ context.Context, phase Phase, _ journal.Upgrade) ([]string, error) {
		switch phase {
		case Before:
			f.Serves(wire.Living{Dir: sc.two.Dir, Label: "shop/1"})
		case Switched:
			<-answer
		}
		return []string{"hook: " + string(phase)}, nil
	}
	sc.must(sc.store.Activate(sc.one.ID))
	sc.runs()
	limit, enough := context.WithTimeout(t.Context(), 10*time.Second)
	defer enough()
	sc.must(sc.s.Serves(limit))
	r, err := sc.s.Upgrade(limit, Wish{Release: "2.0.0"})
	sc.must(err)
	aborted := sc.s.until(limit, func(st Status) (bool, error) { return st.State == Baking, nil })
	if aborted == nil {
		aborted = sc.s.Abort(limit, "me")
	}
	if aborted != nil {
		t.Errorf("while the hooks run: %v", aborted)
	}
	close(answer)
	r = sc.over(r.Number)
	var said []string
	for _, step := range r.Steps {
		if strings.HasPrefix(step.Detail, "hook: ") {
			said = append(said, strings.TrimPrefix(step.Detail, "hook: "))
		}
	}
	if got := strings.Join(said, " "); r.State != "returned" || got != "before switched committed" {
		t.Errorf("%s, after %q", r.State, got)
	}
}

// TestHooksOfTheSwitchAreAwaitedByAnAgentThatLeaves: their goroutine does not outlive Run. It fails without heed in begin.
func TestHooksOfTheSwitchAreAwaitedByAnAgentThatLeaves(t *testing.T) {
	sc := newScene(t, Config{})
	ctx, leave := context.WithCancel(t.Context())
	ended := false
	sc.s.config.Hook = func(ctx context.Context, phase Phase, _ journal.Upgrade) ([]string, error) {
		if phase == Switched {
			leave()
			<-ctx.Done()
			<-time.After(50 * time.Millisecond) // as a program that is killed
			ended = true
		}
		return nil, nil
	}
	sc.answers("held", wire.Living{Dir: sc.one.Dir})
	sc.must(sc.store.Activate(sc.one.ID))
	over := make(chan error, 1)
	go func() { over <- sc.s.Run(ctx) }()
	sc.must(sc.s.Serves(ctx))
	_, err := sc.s.Upgrade(ctx, Wish{Release: "2.0.0"})
	sc.must(err)
	if err := <-over; err != nil || !ended {
		t.Errorf("it has left, %v; the hook has ended: %t", err, ended)
	}
}

// TestHandoverIsHeldFromItsBeginning: where the disk or a processor is slow, what comes between the word that probation has begun and the first look at a
// check may take longer than probation. It fails if prove waits for probation.
func TestHandoverIsHeldFromItsBeginning(t *testing.T) {
	sc := newScene(t, Config{})
	f := sc.answers("waits", wire.Living{Dir: sc.one.Dir}) // for ever, before the commit
	sc.must(sc.store.Activate(sc.one.ID))
	sc.runs()
	limit, enough := context.WithTimeout(t.Context(), 10*time.Second)
	defer enough()
	sc.must(sc.s.Serves(limit))
	_, err := sc.s.Upgrade(limit, Wish{Release: "2.0.0"})
	sc.must(err)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for len(f.Votes()) == 0 {
		select {
		case <-again.C:
		case <-limit.Done():
			t.Fatal("nobody votes")
		}
	}
	if v := f.Votes()[0]; v.Verdict != wire.VoteHold {
		t.Errorf("voted: %+v", v)
	}
}
