package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/handover-go/handover/host/journal"
	"github.com/handover-go/handover/host/release"
	"github.com/handover-go/handover/host/service"
)

// Errors of what is asked of a supervisor.
var (
	// ErrBusy: an upgrade is under way. It is named.
	ErrBusy = errors.New("an upgrade is under way")
	// ErrIdle: no upgrade is under way that could be promoted, aborted, paused or resumed.
	ErrIdle = errors.New("no upgrade is under way")
	// ErrStopped: the service does not run, and is not meant to.
	ErrStopped = errors.New("the service is stopped")
	// ErrPaused: no upgrade begins until Resume.
	ErrPaused = errors.New("upgrades are paused")
	// ErrLeft: this supervisor has ended, and another is about to take its place.
	ErrLeft = errors.New("the service is being taken over by another supervisor: ask again")
	// ErrVetoed: a hook does not want it.
	ErrVetoed = errors.New("vetoed")
	// ErrMismatch: a service like this one is not upgraded by what was named.
	ErrMismatch = errors.New("not what the service is upgraded by")
	// ErrNoRelease: no release was named, and there is none to go to.
	ErrNoRelease = errors.New("no release")
)

// The states of a service.
const (
	Stopped   = "stopped"   // nobody answers for it, and nobody is meant to
	Starting  = "starting"  // its keeper, or the first generation, is not there yet
	Running   = "running"   // it serves
	Upgrading = "upgrading" // a handover is being prepared or under way
	Baking    = "baking"    // the handover is final, and the new build is watched
	Returning = "returning" // it is going back to the build before
	Failed    = "failed"    // it was given up
)

// Supervisor keeps one service. Its methods may be called from any goroutine while Run runs.
type Supervisor struct {
	config   Config
	log      *slog.Logger
	journal  *journal.Journal
	keepers  keepers
	releases *release.Store
	tell     func(Event)
	wake     chan struct{} // something is to be looked at now
	upgrades chan func(context.Context)

	mu        sync.Mutex
	desired   journal.Desired
	status    *service.Status // as was said last; nil while nobody answers
	asked     time.Time       // when that was
	stats     []service.Stats // of each generation, where its library counts
	counted   time.Time       // when that was
	trouble   string          // why the service is not as it should be
	failed    bool
	suspended bool     // stopped until the next supervisor
	left      bool     // Run has ended: the next supervisor is to be asked
	upgrade   *upgrade // under way
	unwritten *ending  // of the one before, which the disk did not take
	changed   chan struct{}
	health    health
	trial     *trial   // that checks are heard for; nil while nothing is on trial
	figures   *figures // nil if nobody wants any
}

// Event is something that happened to the service.
type Event struct {
	At      time.Time
	Kind    string // state, upgrade, health or output
	Service string
	Upgrade uint64 // its number; 0 if it is about none
	Detail  string
}

// New prepares a supervisor. Events are told in order, from its goroutines: tell must not block.
func New(c Config, j *journal.Journal, tell func(Event)) (*Supervisor, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("supervise service %q: %w", c.Name, err)
	}
	desired, err := desired(j, c.Name)
	if err != nil {
		return nil, fmt.Errorf("supervise service %q: %w", c.Name, err)
	}
	s := &Supervisor{
		config: c, log: c.Logger, journal: j, releases: c.Releases, tell: tell, desired: desired,
		wake: make(chan struct{}, 1), upgrades: make(chan func(context.Context), 1), changed: make(chan struct{}),
	}
	if c.Rates || c.Heartbeat {
		s.figures = &figures{s: s}
	}
	s.keepers = keepers{config: &s.config}
	s.config.Checks = s.probes(c.Checks)
	return s, nil
}

// desired is what the service should be. One that was never heard of should run.
func desired(j *journal.Journal, name string) (journal.Desired, error) {
	all, err := j.Desired()
	for _, d := range all {
		if d.Service == name {
			return d, err
		}
	}
	return journal.Desired{Service: name, Running: true}, err
}

// Run keeps the service until ctx ends, and leaves it as it is then. It takes up what the journal says was under way.
func (s *Supervisor) Run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	defer s.leave()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := s.comeBack(ctx, &all); err != nil {
		s.note(nil, err.Error())
		return fmt.Errorf("supervise service %q: %w", s.config.Name, err)
	}
	all.Go(func() { s.watchHealth(ctx) })
	all.Go(func() { s.watchOutput(ctx) })
	if s.figures != nil {
		all.Go(func() { s.figures.watch(ctx) })
	}
	s.attend(ctx)
	return nil
}

// leave has whoever asks ask the next supervisor.
func (s *Supervisor) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = true
}

// attend sees to it that somebody answers for the service as long as it is meant to run, and knows how it is.
func (s *Supervisor) attend(ctx context.Context) {
	var starts, fetches backoff
	for ctx.Err() == nil {
		if !s.wanted() {
			s.note(nil, "")
			s.await(ctx, nil)
			continue
		}
		c, started, err := s.reach(ctx)
		if err == nil {
			err = s.converse(ctx, c, func() {
				started()
				starts, fetches = backoff{}, backoff{}
			})
		}
		started()
		if ctx.Err() != nil {
			return
		}
		if !s.wanted() {
			continue
		}
		if errors.Is(err, errNotHere) {
			s.awaitFirst(ctx, fetches.next(), err)
			continue
		}
		delay := starts.next()
		s.note(nil, err.Error())
		if starts.tries > maxTries {
			s.giveUp(err)
			s.await(ctx, nil)
			starts = backoff{}
			continue
		}
		s.log.Warn("nobody answers for the service", "error", err, "again_in", delay)
		s.await(ctx, time.After(delay))
	}
}

// reach finds who answers, or starts a keeper. started is to be called when the service serves, or will not.
func (s *Supervisor) reach(ctx context.Context) (c *service.Client, started func(), err error) {
	started = func() {}
	c, err = s.keepers.dial(ctx)
	if err == nil || !errors.Is(err, service.ErrNobody) && !errors.Is(err, service.ErrNoService) {
		return c, started, err
	}
	s.mu.Lock()
	p := s.desired.Keeper
	s.mu.Unlock()
	var ended <-chan string
	if !alive(p) { // else it was started just before an earlier supervisor ended
		if err := s.takeFirst(ctx); err != nil { // before the gate: while it is fetched, others may start
			return nil, started, err
		}
		if s.config.Gate != nil {
			release, err := s.config.Gate(ctx)
			if err != nil {
				return nil, started, err
			}
			started = sync.OnceFunc(release)
		}
		if !s.wanted() {
			return nil, started, ErrStopped
		}
		if err := s.concludeNow(); err != nil {
			s.log.Warn("what is started may be the build that was taken back", "error", err)
		}
		r, err := s.current()
		if err != nil {
			return nil, started, err
		}
		if p, ended, err = s.keepers.start(r); err != nil {
			return nil, started, err
		}
		s.log.Info("a keeper is started", "pid", p.PID, "release", r.ID)
		if err := s.record(func(d *journal.Desired) { d.Keeper = p }); err != nil {
			return nil, started, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, appearTimeout)
	defer cancel()
	c, err = s.keepers.appear(ctx, p, ended)
	return c, started, err
}

// appearTimeout bounds the wait for a keeper's takeover socket, which it makes before anything else.
const appearTimeout = 30 * time.Second

// current is the release to start; none for a service without releases.
func (s *Supervisor) current() (release.Release, error) {
	if s.releases == nil {
		return release.Release{}, nil
	}
	r, ok, err := s.releases.Current()
	if err == nil && !ok {
		err = fmt.Errorf("%w: no release of the service is here yet: add one", ErrNoRelease)
	}
	return r, err
}

// converse asks how the service is until nobody answers any more, and says when it serves.
func (s *Supervisor) converse(ctx context.Context, c *service.Client, serves func()) error {
	defer c.Close()
	if err := seen(ctx, c); err != nil {
		return err
	}
	for {
		status, err := c.Status(ctx)
		if err != nil {
			return err
		}
		s.note(status, "")
		if status.State == "serving" {
			serves()
		}
		interval := idleInterval
		if s.busy() || status.State != "serving" {
			interval = busyInterval
		}
		gone := make(chan error, 1)
		waiting, stop := context.WithTimeout(ctx, interval)
		go func() { gone <- c.Wait(waiting) }()
		select {
		case <-s.wake:
			stop()
			err = <-gone
		case err = <-gone:
			stop()
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			if how := died(status); status.State != "serving" && how != "" {
				return fmt.Errorf("process %d, which answered for the service, has ended: %s", c.PID(), how)
			}
			return fmt.Errorf("process %d, which answered for the service, has ended", c.PID())
		case !s.wanted():
			return ErrStopped
		}
	}
}

// seen returns an error if the end of who answers would not be seen, as there was no descriptor left for it: who reaches it again may have one.
func seen(ctx context.Context, c *service.Client) error {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	if err := c.Wait(ctx); errors.Is(err, service.ErrUnsupported) {
		return err
	}
	return nil
}

// How often a service is asked how it is. Whether somebody answers at all is known at once, by the end of the process; and who wants to
// know more has it asked (Fresh).
const (
	idleInterval = 50 * time.Second // a keeper hangs up on who says nothing for a minute
	busyInterval = 250 * time.Millisecond
)

// Fresh is Status, of a service that was asked in this second.
func (s *Supervisor) Fresh(ctx context.Context) Status {
	s.mu.Lock()
	old := s.status != nil && (time.Since(s.asked) > time.Second || s.figures != nil && time.Since(s.counted) > time.Second)
	s.mu.Unlock()
	if old {
		s.refresh(ctx)
	}
	return s.Status()
}

// refresh learns at once how the service is: what is said of an upgrade from now on, and of the service, must agree.
func (s *Supervisor) refresh(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, figuresTimeout)
	defer cancel()
	c, err := s.keepers.dial(ctx)
	if err != nil {
		return // attend will find out
	}
	defer c.Close()
	status, err := c.Status(ctx)
	if err != nil {
		return
	}
	s.note(status, "")
	if s.figures == nil {
		return
	}
	stats, err := c.Stats(ctx)
	if err != nil {
		s.log.Debug("no figures", "error", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats, s.counted = stats, time.Now()
}

// note keeps what is known, and tells what has changed.
func (s *Supervisor) note(status *service.Status, trouble string) {
	s.mu.Lock()
	before := s.stateLocked()
	s.status, s.trouble, s.asked = status, trouble, time.Now()
	if status != nil || !s.desired.Running || s.suspended {
		s.failed = false
	}
	if status == nil {
		s.stats = nil
	}
	after := s.stateLocked()
	s.signalLocked()
	s.mu.Unlock()
	if before != after {
		s.log.Info("service state", "from", before, "to", after, "reason", trouble)
		s.event("state", 0, after)
	}
}

// signalLocked lets everyone go on who waits for a change.
func (s *Supervisor) signalLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Supervisor) giveUp(err error) {
	s.log.Error("the service is given up", "error", err)
	s.mu.Lock()
	s.failed = true
	s.signalLocked()
	s.mu.Unlock()
	s.event("state", 0, Failed)
}

func (s *Supervisor) event(kind string, upgrade uint64, detail string) {
	s.tell(Event{At: time.Now(), Kind: kind, Service: s.config.Name, Upgrade: upgrade, Detail: detail})
}

func (s *Supervisor) wanted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.desired.Running && !s.suspended
}

func (s *Supervisor) busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.upgrade != nil
}

// look has the service looked at now.
func (s *Supervisor) look() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// await waits for a reason to look again: it was asked for, or that much time has passed.
func (s *Supervisor) await(ctx context.Context, later <-chan time.Time) {
	select {
	case <-s.wake:
	case <-later:
	case <-ctx.Done():
	}
}

// record changes what is desired, on disk first.
func (s *Supervisor) record(change func(*journal.Desired)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.recordLocked(change)
}

func (s *Supervisor) recordLocked(change func(*journal.Desired)) error {
	d := s.desired
	d.Service = s.config.Name
	change(&d)
	if err := s.journal.SetDesired(d); err != nil {
		return err
	}
	s.desired = d
	return nil
}

// stateLocked is the state of the service in one word.
func (s *Supervisor) stateLocked() string {
	switch {
	case s.failed:
		return Failed
	case s.upgrade != nil && s.status != nil:
		return s.upgrade.phase()
	case s.status != nil && s.status.State == "ending":
		return Stopped
	case s.status != nil && (s.status.Keeper == nil || s.status.PID != 0 && s.status.Keeper.State != "down" && s.status.Keeper.State != "starting"):
		return Running
	case s.status != nil || s.desired.Running && !s.suspended:
		return Starting
	default:
		return Stopped
	}
}

// backoff is the growing pause between attempts in a row.
type backoff struct{ tries int }

const (
	// maxTries keepers in a row that came to nothing are enough; a keeper itself tries a service that dies as often as it is told.
	maxTries = 5
	// longestPause is between two attempts to fetch the first release, from the ninth on.
	longestPause = 5 * time.Minute
)

func (b *backoff) next() time.Duration {
	b.tries++
	return min(time.Second<<min(b.tries-1, 20), longestPause)
}
