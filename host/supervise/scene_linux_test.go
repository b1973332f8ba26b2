package supervise

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/handover-go/handover/host/internal/fake"
	"github.com/handover-go/handover/host/journal"
	"github.com/handover-go/handover/host/release"
	"github.com/handover-go/handover/internal/wire"
)

// scene is a service with releases 1.0.0, which was kept, and 2.0.0, which is current; nobody answers for it yet.
type scene struct {
	t        *testing.T
	dir      string
	s        *Supervisor
	journal  *journal.Journal
	store    *release.Store
	one, two release.Release
}

func newScene(t *testing.T, c Config) *scene {
	t.Helper()
	dir, err := os.MkdirTemp("", "s") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	sc := &scene{t: t, dir: dir}
	if sc.store, err = release.Open(filepath.Join(dir, "services")); err != nil {
		t.Fatal(err)
	}
	sc.one, sc.two = sc.added("1.0.0"), sc.added("2.0.0")
	sc.must(sc.store.Activate(sc.one.ID), sc.store.Commit(sc.one.ID), sc.store.Activate(sc.two.ID))
	c.Releases = sc.store
	if c.Keeper == nil {
		c.Keeper = []string{filepath.Join(dir, "absent")}
	}
	sc.s, sc.journal = supervised(t, c, dir)
	t.Cleanup(func() { _ = sc.journal.Close() })
	sc.must(os.Mkdir(sc.s.config.RuntimeDir, 0o700))
	return sc
}

func (sc *scene) must(errs ...error) {
	sc.t.Helper()
	if err := errors.Join(errs...); err != nil {
		sc.t.Fatal(err)
	}
}

// added makes a release that nobody has signed, and takes it in.
func (sc *scene) added(version string) release.Release {
	sc.t.Helper()
	src, err := release.ParseSource(published(sc.t, version))
	sc.must(err)
	r, err := sc.store.Add(sc.t.Context(), src, release.Policy{Name: "shop", AllowUnsigned: true, AllowOlder: true}, nil)
	sc.must(err)
	return r
}

// published is a source that has a release of that version.
func published(t *testing.T, version string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "shop")
	err := os.WriteFile(file, []byte("#!/bin/sh\necho "+version), 0o755)
	if err == nil {
		_, err = release.Sign(t.Context(), file, release.Description{Name: "shop", Version: version}, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// answers has a fake answer for the service, whose keeper tells of that generation.
func (sc *scene) answers(script string, g wire.Living) *fake.Service {
	sc.t.Helper()
	f, err := fake.Start(sc.s.config.RuntimeDir, "shop", script)
	sc.must(err)
	sc.t.Cleanup(f.Close)
	f.Serves(g)
	return f
}

// underWay has an upgrade from 1.0.0 to 2.0.0 on record, as far as that state.
func (sc *scene) underWay(state string, change func(*journal.Upgrade)) journal.Upgrade {
	sc.t.Helper()
	r, _, err := sc.journal.Begin(journal.Upgrade{Service: "shop", Kind: "upgrade", From: sc.one.ID, To: sc.two.ID, Began: time.Now(), State: "planned"})
	sc.must(err, sc.journal.Step("shop", r.Number, journal.Step{State: state, At: time.Now()}, change))
	r, err = sc.journal.Upgrade("shop", r.Number)
	sc.must(err)
	return r
}

// runs has the supervisor run until the test ends.
func (sc *scene) runs() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- sc.s.Run(ctx) }()
	sc.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			sc.t.Error(err)
		}
	})
}

// over waits for the end of an upgrade.
func (sc *scene) over(number uint64) journal.Upgrade {
	sc.t.Helper()
	limit, enough := context.WithTimeout(sc.t.Context(), 25*time.Second)
	defer enough()
	r, err := sc.s.Wait(limit, number, 1000)
	if err != nil {
		sc.t.Fatalf("upgrade %d is %s: %v", number, r.State, err)
	}
	return r
}

// current is the release that a keeper would start.
func (sc *scene) current() string {
	sc.t.Helper()
	r, _, err := sc.store.Current()
	sc.must(err)
	return r.ID
}

// fills keeps any release from becoming current until the function that it returns is called, as a disk that is full does.
func (sc *scene) fills() (room func()) {
	sc.t.Helper()
	inTheWay := filepath.Join(sc.store.Dir(), "staging", "current")
	sc.must(os.MkdirAll(filepath.Join(inTheWay, "more"), 0o755))
	return func() { sc.must(os.RemoveAll(inTheWay)) }
}
