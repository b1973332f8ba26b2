package supervise

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/handover-go/handover/host/journal"
	"github.com/handover-go/handover/host/judge"
	"github.com/handover-go/handover/host/release"
)

// Wish is what a service is asked to be upgraded to.
type Wish struct {
	Rollback   bool   // to the build or release before, or to Release
	Release    string // of those on disk: ID, version, or the unique beginning of one
	Source     string // where a release is to be fetched; empty with all others: Config.Source, or the file of Config.Command
	Binary     string // of a service without releases: the file to start
	AllowOlder bool   // a release older than the last one kept
	By         string // who asks
	Key        string // the same key asks for the same upgrade; empty: each is another
	Again      bool   // unless that one was decided (Decided), when it has ended
}

// upgrade is one upgrade under way. Its goroutine goes through the steps in order, and writes each down before it does it.
type upgrade struct {
	s        *Supervisor
	wishes   chan wish     // heard on trial
	early    chan wish     // heard before the keeper is asked
	done     chan struct{} // closed at the end, or when this process leaves it to the next
	baseline judge.Baseline

	mu     sync.Mutex
	record journal.Upgrade
	paused bool
	from   release.Release
	to     release.Release
	binary string // without releases

	current string        // the release that is to be current at the end; empty: it is
	beside  chan []string // what the hooks say that run beside the upgrade's goroutine, which alone writes steps; nil: none do
}

// Upgrade begins an upgrade and returns its record. Wait tells its end. Errors: ErrBusy, with the record of the one under way;
// ErrStopped, ErrPaused, ErrMismatch.
func (s *Supervisor) Upgrade(ctx context.Context, w Wish) (journal.Upgrade, error) {
	s.settled(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.upgrade; u != nil {
		r := u.snapshot()
		if w.Key != "" && r.Key == w.Key {
			return r, nil
		}
		return r, fmt.Errorf("%w: number %d, %s, for %s", ErrBusy, r.Number, r.State, time.Since(r.Began).Round(time.Millisecond))
	}
	switch {
	case s.left:
		return journal.Upgrade{}, ErrLeft
	case !s.desired.Running:
		return journal.Upgrade{}, ErrStopped
	case s.desired.Paused:
		return journal.Upgrade{}, ErrPaused
	}
	if err := s.mismatch(w); err != nil {
		return journal.Upgrade{}, err
	}
	kind := "upgrade"
	if w.Rollback {
		kind = "rollback"
	}
	if err := s.concludeLocked(); err != nil {
		return journal.Upgrade{}, err
	}
	from, err := s.current()
	if err != nil && !errors.Is(err, ErrNoRelease) {
		return journal.Upgrade{}, err
	}
	r := journal.Upgrade{Service: s.config.Name, Kind: kind, From: cmp.Or(from.ID, running(s.status)), By: w.By, Key: w.Key, Began: time.Now(), State: "planned"}
	r, begun, err := s.beginOnRecord(r, w.Again)
	if err != nil || !begun {
		return r, err
	}
	u := s.newUpgrade(r, from)
	s.begin(u, func(ctx context.Context) { u.run(ctx, w) })
	return r, nil
}

// beginOnRecord gives an upgrade its number, or returns the one that had its key.
func (s *Supervisor) beginOnRecord(next journal.Upgrade, again bool) (r journal.Upgrade, begun bool, err error) {
	r, begun, err = s.journal.Begin(next)
	if err != nil || begun || !again || r.Ended.IsZero() || Decided(r) {
		return r, begun, err
	}
	if err := s.journal.Free(next.Service, next.Key); err != nil {
		return r, false, err
	}
	return s.journal.Begin(next)
}

// Decided reports whether an upgrade that has ended says what is to become of its release: it was kept or taken back, it was final, the keeper has refused
// it, or a person has aborted it. Else something came in between: a source that broke off or had not all of it yet, a host without room, a veto, the end
// of an agent, a keeper that was busy, a build that did not get ready.
func Decided(r journal.Upgrade) bool {
	return slices.Contains([]string{"kept", "returned", "resumed"}, r.State) || strings.HasPrefix(r.Reason, abortedBy) ||
		slices.ContainsFunc(r.Steps, func(s journal.Step) bool {
			return s.State == "baking" || s.State == "switching" && r.State == "refused"
		})
}

// abortedBy begins the reason of an upgrade that a person has aborted.
const abortedBy = "aborted by "

// mismatch refuses what a service like this cannot be upgraded by, as something else would be done than was asked for.
func (s *Supervisor) mismatch(w Wish) error {
	switch {
	case s.releases == nil && (w.Release != "" || w.Source != ""):
		return fmt.Errorf("%w: it has no releases: leave the release and the source out", ErrMismatch)
	case s.releases != nil && w.Binary != "":
		return fmt.Errorf("%w: it has releases: name one, or a source, and no file", ErrMismatch)
	}
	return nil
}

// settled waits for the goroutine of an upgrade that has ended, which still asks the hooks of its end: whoever was told that it is over may ask
// for the next thing at once.
func (s *Supervisor) settled(ctx context.Context) {
	s.mu.Lock()
	u := s.upgrade
	s.mu.Unlock()
	if u == nil || u.snapshot().Ended.IsZero() {
		return
	}
	select {
	case <-u.done:
	case <-ctx.Done():
	}
}

func (s *Supervisor) newUpgrade(r journal.Upgrade, from release.Release) *upgrade {
	return &upgrade{s: s, record: r, from: from, wishes: make(chan wish), early: make(chan wish), done: make(chan struct{})}
}

// begin runs an upgrade's goroutine until Run ends.
func (s *Supervisor) begin(u *upgrade, run func(context.Context)) {
	s.upgrade = u
	s.signalLocked()
	s.upgrades <- func(ctx context.Context) {
		run(ctx)
		u.heed() // hooks that run beside what is left to the next supervisor
		s.mu.Lock()
		s.upgrade, s.trial = nil, nil
		s.signalLocked()
		s.mu.Unlock()
		close(u.done)
		s.look()
	}
}

// run is a whole upgrade. Where ctx ends, the rest is for who comes after.
func (u *upgrade) run(ctx context.Context, w Wish) {
	err := u.prepare(ctx, w)
	switch {
	case err == nil:
		u.handOver(ctx)
	case errors.Is(err, release.ErrRefused):
		u.end(ctx, "refused", err)
	default:
		u.end(ctx, "aborted", err)
	}
}

// prepare does all that comes before the keeper is asked. An abort ends it wherever it is.
func (u *upgrade) prepare(ctx context.Context, w Wish) error {
	ctx, abandon := context.WithCancelCause(ctx)
	defer abandon(nil)
	over := make(chan struct{})
	var hearing sync.WaitGroup
	hearing.Go(func() {
		for {
			select {
			case w := <-u.early:
				if w.what == abort {
					abandon(errors.New(abortedBy + w.by))
				}
				u.obey(w)
			case <-over:
				return
			}
		}
	})
	err := u.stage(ctx, w)
	if err == nil {
		err = u.ask(ctx)
	}
	close(over)
	hearing.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx) // rather than what came of it
	}
	return err
}

// stage finds the release, or brings it here.
func (u *upgrade) stage(ctx context.Context, w Wish) error {
	s := u.s
	if s.releases == nil {
		u.binary = w.Binary
		return u.step("staging", "nothing: the service has no releases", nil)
	}
	ref, source := w.Release, w.Source
	if w.Rollback && ref == "" {
		before, err := s.before(u.from.ID)
		if err != nil {
			return err
		}
		ref = before
	}
	if ref == "" && source == "" {
		source = s.config.Source
	}
	if err := u.step("staging", cmp.Or(ref, source), nil); err != nil {
		return err
	}
	var err error
	switch {
	case ref != "":
		u.to, err = s.releases.Get(ref)
		if err == nil {
			err = s.releases.Verify(ctx, u.to.ID)
		}
	case source != "":
		u.to, err = s.fetch(ctx, source, w.AllowOlder)
	default:
		err = fmt.Errorf("%w: name one, or a source", ErrNoRelease)
	}
	if err != nil {
		return err
	}
	if u.to.ID == u.from.ID && s.serves() {
		anew := u.anew(ctx)
		if len(anew) == 0 {
			return fmt.Errorf("release %s serves already", u.to.ID)
		}
		return u.step("staging", "it serves already, and is started anew for what is configured by now: "+strings.Join(anew, ", "), nil)
	}
	return nil
}

// ask lets hooks veto.
func (u *upgrade) ask(ctx context.Context) error {
	if u.s.config.Hook == nil {
		return nil
	}
	if err := u.step("asking", "", func(r *journal.Upgrade) { r.To = u.to.ID }); err != nil {
		return err
	}
	return u.call(ctx, Before)
}

// call calls the hooks of a phase. The error is a veto.
func (u *upgrade) call(ctx context.Context, phase Phase) error {
	if u.s.config.Hook == nil {
		return nil
	}
	said, veto := u.s.config.Hook(ctx, phase, u.snapshot())
	u.write(said)
	return veto
}

// callBeside calls the hooks of a phase in which they decide nothing, and goes on: after those of the phase before, which may still run. What they say
// is on record after heed.
func (u *upgrade) callBeside(ctx context.Context, phase Phase) {
	if u.s.config.Hook == nil {
		return
	}
	before, beside, r := u.beside, make(chan []string, 1), u.snapshot()
	go func() {
		var said []string
		if before != nil {
			said = <-before
		}
		more, _ := u.s.config.Hook(ctx, phase, r)
		beside <- append(said, more...)
	}()
	u.beside = beside
}

// heed waits for the hooks that were called beside, each of which has its time.
func (u *upgrade) heed() {
	if u.beside == nil {
		return
	}
	u.write(<-u.beside)
	u.beside = nil
}

// write puts on record what hooks have said.
func (u *upgrade) write(said []string) {
	r := u.snapshot()
	for _, what := range said {
		if !r.Ended.IsZero() { // no step follows the end
			u.s.log.Info("upgrade", "upgrade", r.Number, "state", r.State, "detail", what)
			continue
		}
		if err := u.step(r.State, what, nil); err != nil {
			u.s.log.Error("what a hook said is not on record", "said", what, "error", err)
		}
	}
}
