package agent

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/handover-go/handover/host/agent/config"
	"github.com/handover-go/handover/host/journal"
	"github.com/handover-go/handover/host/release"
	"github.com/handover-go/handover/host/supervise"
)

// TestReleaseThatIsWatchedForIsTriedAgain for as long as a hook vetoes it, in pauses that grow to an hour, by this agent and the next. It fails if the
// watch takes what has begun for done.
func TestReleaseThatIsWatchedForIsTriedAgain(t *testing.T) {
	dir := t.TempDir()
	store, err := release.Open(filepath.Join(dir, "services"))
	must(t, err)
	trust := release.Policy{Name: "shop", AllowUnsigned: true}
	publish := func(version string) release.Source {
		must(t, os.WriteFile(filepath.Join(dir, "shop"), []byte("#!/bin/sh\n# "+version), 0o755))
		_, err := release.Sign(t.Context(), filepath.Join(dir, "shop"), release.Description{Name: "shop", Version: version}, nil)
		must(t, err)
		src, err := release.ParseSource(filepath.Join(dir, "shop"))
		must(t, err)
		return src
	}
	before, err := store.Add(t.Context(), publish("1.0.0"), trust, nil)
	must(t, err)
	must(t, store.Activate(before.ID))
	source := publish("1.1.0").String()
	synctest.Test(t, func(t *testing.T) {
		j, err := journal.Open(filepath.Join(dir, "journal.db"))
		must(t, err)
		defer j.Close()
		var asked atomic.Int64
		k := &core{log: slog.New(slog.DiscardHandler)}
		hours := func() int64 {
			s, err := supervise.New(supervise.Config{
				Name: "shop", RuntimeDir: filepath.Join(dir, "run"), StateDir: filepath.Join(dir, "state"), OutputDir: filepath.Join(dir, "log"),
				Releases: store, Source: source, Trust: trust, Keeper: []string{"/absent"}, Logger: k.log,
				Hook: func(_ context.Context, p supervise.Phase, _ journal.Upgrade) ([]string, error) {
					if p == supervise.Before {
						asked.Add(1)
					}
					return nil, supervise.ErrVetoed
				},
			}, j, func(supervise.Event) {})
			must(t, err)
			one := &kept{Supervisor: s, config: config.Service{Name: "shop", Release: config.Release{Source: source, Interval: time.Minute}}}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 2)
			go func() { ended <- s.Run(ctx) }()
			go func() {
				k.watchSource(ctx, one)
				ended <- nil
			}()
			<-time.After(6 * time.Hour)
			cancel()
			must(t, <-ended)
			must(t, <-ended)
			return asked.Swap(0)
		}
		for range 2 {
			if n := hours(); n < 9 || n > 13 {
				t.Errorf("it was tried %d times in six hours", n)
			}
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
