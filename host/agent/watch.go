package agent

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/handover-go/handover/host/journal"
	"github.com/handover-go/handover/host/supervise"
	"github.com/handover-go/handover/keeper/preflight"
)

// watch upgrades a service by itself when what it is started from becomes another: the source of its releases, or its program's file.
func (k *core) watch(ctx context.Context, s *kept) {
	if s.anew {
		k.catchUp(ctx, s)
	}
	if s.config.Release.Source != "" {
		k.watchSource(ctx, s)
		return
	}
	if err := k.watchFile(ctx, s); err != nil {
		k.log.Error("the service's program is not watched: an upgrade must be asked for", "service", s.config.Name, "error", err)
	}
}

// catchUp upgrades a service to the build that serves, as it is configured to be started otherwise by now. What fails or is taken back is not tried
// again before a reload changes more.
func (k *core) catchUp(ctx context.Context, s *kept) {
	for {
		if err := s.Serves(ctx); err != nil {
			return
		}
		waiting, err := s.Waiting(ctx)
		if err != nil {
			k.log.Warn("it is not known how the service was started", "service", s.config.Name, "error", err)
		}
		if len(waiting) == 0 {
			return
		}
		r, err := s.Upgrade(ctx, supervise.Wish{Release: s.Status().Release, By: watcher})
		switch {
		case err == nil:
			k.log.Info("an upgrade begins by itself", "service", s.config.Name, "upgrade", r.Number, "for", waiting)
			return
		case !errors.Is(err, supervise.ErrBusy):
			k.log.Warn("an upgrade does not begin by itself", "service", s.config.Name, "error", err)
			return
		}
		if _, err := s.Wait(ctx, r.Number, math.MaxInt); err != nil {
			return
		}
	}
}

// watchSource looks at the source again and again. What is there is taken in as any release: one that is not whole yet does not
// verify, and is looked at again. One that an upgrade was decided of is not begun again; where something came in between, it is.
func (k *core) watchSource(ctx context.Context, s *kept) {
	look := time.NewTicker(s.config.Release.Interval)
	defer look.Stop()
	for last := (attempt{}); ; {
		id, err := s.Offered(ctx)
		switch {
		case err != nil:
			k.log.Debug("the source of releases cannot be looked at", "service", s.config.Name, "error", err)
		case id != "" && last.due(id):
			r, begun := k.begin(ctx, s, supervise.Wish{Source: s.config.Release.Source, By: watcher, Key: watcher + " " + id, Again: true})
			if !begun {
				break
			}
			if r, err = s.Wait(ctx, r.Number, math.MaxInt); err != nil {
				break
			}
			if last = last.then(id, r, s.config.Release.Interval); !last.decided {
				k.log.Warn("an upgrade has not come to its end, and is tried again", "service", s.config.Name, "upgrade", r.Number, "reason", r.Reason, "again_in", last.pause)
			}
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

// attempt is the last upgrade that has begun by itself, and how long the next one to the same release waits.
type attempt struct {
	release string
	decided bool
	pause   time.Duration
	next    time.Time
}

// due reports whether an upgrade to a release may begin.
func (a attempt) due(release string) bool {
	return a.release != release || !a.decided && !time.Now().Before(a.next)
}

// then is the attempt after a. Pauses in a row grow, as each attempt is on record, and hooks are asked.
func (a attempt) then(release string, r journal.Upgrade, interval time.Duration) attempt {
	pause := interval
	if a.release == release {
		pause = max(interval, min(2*a.pause, longestPause))
	}
	return attempt{release, supervise.Decided(r), pause, time.Now().Add(pause)}
}

// longestPause is between two attempts, unless looks are further apart.
const longestPause = time.Hour

// watcher is who asks for what nobody has asked for.
const watcher = "watch"

// begin asks for an upgrade, and reports whether it has begun, or had. While another is under way it has not.
func (k *core) begin(ctx context.Context, s *kept, w supervise.Wish) (journal.Upgrade, bool) {
	r, err := s.Upgrade(ctx, w)
	if err != nil {
		if !errors.Is(err, supervise.ErrBusy) {
			k.log.Warn("an upgrade does not begin by itself", "service", s.config.Name, "error", err)
		}
		return r, false
	}
	if r.Ended.IsZero() {
		k.log.Info("an upgrade begins by itself", "service", s.config.Name, "upgrade", r.Number)
	}
	return r, true
}

// settling is how long a file must be left alone before it is taken for whole, and can then be executed: a writer may pause.
const settling = 500 * time.Millisecond

// watchFile hears of changes of the directory, as a deployment may rename the next file over the one that is there.
func (k *core) watchFile(ctx context.Context, s *kept) error {
	path := s.config.Command[0]
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer w.Close()
	if err := w.Add(filepath.Dir(path)); err != nil {
		return err
	}
	seen, err := os.Stat(path)
	if err != nil {
		return err
	}
	settled := time.NewTimer(settling)
	defer settled.Stop()
	for {
		select {
		case e, ok := <-w.Events:
			if !ok {
				return errors.New("the watch has ended")
			}
			if e.Name == path {
				settled.Reset(settling)
			}
		case err := <-w.Errors: // an event may be lost: look
			k.log.Debug("watch", "service", s.config.Name, "error", err)
			settled.Reset(settling)
		case <-settled.C:
			now, err := os.Stat(path)
			if err != nil || os.SameFile(now, seen) && now.Size() == seen.Size() && now.ModTime().Equal(seen.ModTime()) {
				continue
			}
			if _, err := preflight.Check(path, preflight.Reference{}); err != nil {
				k.log.Warn("the program has changed, and is not fit to run", "service", s.config.Name, "error", err)
				seen = now
				continue
			}
			if _, begun := k.begin(ctx, s, supervise.Wish{By: watcher}); begun {
				seen = now
			} else {
				settled.Reset(settling) // another upgrade is under way
			}
		case <-ctx.Done():
			return nil
		}
	}
}
