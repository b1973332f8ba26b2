package supervise

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/handover-go/handover/host/journal"
	"github.com/handover-go/handover/host/release"
	"github.com/handover-go/handover/host/service"
	"github.com/handover-go/handover/internal/wire"
)

// TestBuildIsWatchedWhileHooksOfTheCommitRun: it can be aborted, checks are heard, and what the hooks say goes on record with the state that the
// upgrade has by then.
func TestBuildIsWatchedWhileHooksOfTheCommitRun(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		asked, answer := make(chan Phase, 10), make(chan struct{})
		s, j := supervised(t, Config{Command: "/bin/true", Hook: func(ctx context.Context, phase Phase, _ journal.Upgrade) ([]string, error) {
			if asked <- phase; phase == Committed {
				<-answer
			}
			return []string{"hook: " + string(phase)}, nil
		}}, dir)
		defer j.Close()
		r, _, err := j.Begin(journal.Upgrade{Service: "shop", Kind: "upgrade", Began: time.Now(), State: "planned"})
		if err != nil {
			t.Fatal(err)
		}
		u := s.newUpgrade(r, release.Release{})
		s.upgrade = u
		over := make(chan struct{})
		go func() {
			defer close(over)
			u.bake(t.Context(), time.Now().Add(time.Hour))
		}()
		if phase := <-asked; phase != Committed {
			t.Errorf("the hooks of %s are asked", phase)
		}
		synctest.Wait()
		s.mu.Lock()
		watched := s.trial != nil
		s.mu.Unlock()
		if !watched {
			t.Error("no check is heard while the hooks run")
		}
		limit, enough := context.WithTimeout(t.Context(), time.Second)
		defer enough()
		if err := s.Abort(limit, "me"); err != nil {
			t.Errorf("while the hooks run: %v", err)
		}
		synctest.Wait()
		if state := u.snapshot().State; state != "returning" {
			t.Errorf("aborted, it is %s", state)
		}
		close(answer)
		<-over
		steps := u.snapshot().Steps
		if i := slices.IndexFunc(steps, func(step journal.Step) bool { return step.Detail == "hook: committed" }); i < 0 || steps[i].State != "returning" {
			t.Errorf("on record are %+v", steps)
		}
	})
}

// TestUpgradeWithoutReleasesIsOnRecordByTheDigestThatItWentTo, which is not known before it serves.
func TestUpgradeWithoutReleasesIsOnRecordByTheDigestThatItWentTo(t *testing.T) {
	s, j := supervised(t, Config{Command: "/bin/true", Bake: -1}, t.TempDir())
	defer j.Close()
	s.status = &service.Status{PID: 7, Keeper: &wire.Keeping{Running: "0123456789abcdef", Generations: []wire.Living{{PID: 7, Label: "shop/1"}}}}
	r, _, err := j.Begin(journal.Upgrade{Service: "shop", Kind: "upgrade", From: "sha256:before", Began: time.Now(), State: "planned"})
	if err != nil {
		t.Fatal(err)
	}
	u := s.newUpgrade(r, release.Release{})
	u.bake(t.Context(), time.Now())
	if r, err := j.Upgrade("shop", r.Number); err != nil || r.State != "kept" || r.To != "sha256:0123456789ab" || r.From != "sha256:before" {
		t.Errorf("on record is %+v, %v", r, err)
	}
}
