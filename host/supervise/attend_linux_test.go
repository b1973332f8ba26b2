package supervise

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/handover-go/handover/host/journal"
	"github.com/handover-go/handover/host/release"
)

// TestFirstReleaseIsAskedForAsLongAsTheServiceIsWanted, in pauses that grow to five minutes; the service says why it does not run, and each attempt
// is on record.
func TestFirstReleaseIsAskedForAsLongAsTheServiceIsWanted(t *testing.T) {
	dir := t.TempDir()
	store, err := release.Open(filepath.Join(dir, "services"))
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		source := filepath.Join(dir, "absent")
		s, j := supervised(t, Config{Releases: store, Source: source, Trust: release.Policy{Name: "shop", AllowUnsigned: true}}, dir)
		defer j.Close()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		<-time.After(24 * time.Hour)
		synctest.Wait()
		st := s.Status()
		if st.State != Starting || !strings.Contains(st.Reason, "absent") || !strings.Contains(st.Reason, "asked for again at 2000-01-02T00:0") {
			t.Errorf("%s: %s", st.State, st.Reason)
		}
		last := attempts(t, j)
		if want := uint64(24 * time.Hour / longestPause); last < want || last > want+10 {
			t.Errorf("%d attempts in a day, want some %d", last, want)
		}
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
		<-time.After(time.Hour)
		synctest.Wait()
		if again := attempts(t, j); again != last || s.Status().State != Stopped {
			t.Errorf("%d attempts after %d, and the service is %s: it was stopped", again, last, s.Status().State)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestServiceThatWasGivenUpIsStopped at once, as there is nothing to end.
func TestServiceThatWasGivenUpIsStopped(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, j := supervised(t, Config{Command: "/usr/bin/true", Keeper: []string{filepath.Join(dir, "absent")}}, dir)
		defer j.Close()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		<-time.After(time.Hour)
		synctest.Wait()
		if st := s.Status(); st.State != Failed {
			t.Errorf("%s: %s", st.State, st.Reason)
		}
		limit, enough := context.WithTimeout(ctx, time.Minute)
		defer enough()
		if err := s.Stop(limit); err != nil || s.Status().State != Stopped {
			t.Errorf("%v, and the service is %s", err, s.Status().State)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// supervised is a service, and the journal that has its records.
func supervised(t *testing.T, c Config, dir string) (*Supervisor, *journal.Journal) {
	t.Helper()
	j, err := journal.Open(filepath.Join(dir, "journal.db"))
	if err != nil {
		t.Fatal(err)
	}
	c.Name, c.RuntimeDir, c.StateDir, c.OutputDir = "shop", filepath.Join(dir, "run"), filepath.Join(dir, "state"), filepath.Join(dir, "log")
	s, err := New(c, j, func(Event) {})
	if err != nil {
		t.Fatal(err)
	}
	return s, j
}

// attempts is how many upgrades are on record.
func attempts(t *testing.T, j *journal.Journal) uint64 {
	t.Helper()
	history, err := j.History("shop", 1)
	if err != nil || len(history) != 1 {
		t.Fatalf("%v, %v", history, err)
	}
	return history[0].Number
}
