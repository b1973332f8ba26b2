package keeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/handover-go/handover/internal/notify"
	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// Keeper keeps one service. One goroutine, Run's, owns every field below "the loop's" and does everything that changes them;
// others reach it through inbox (what generations report) and calls.
type Keeper struct {
	config  Config
	log     *slog.Logger
	build   wire.Build // this program
	nursery *nursery
	door    *door
	systemd *notify.Queue
	shelf   *shelf // of builds
	nginx   *nginx // of Config.Strategy; nil for others
	output  output
	started time.Time

	inbox chan peer.Report
	calls chan func()
	done  chan struct{} // closed when the loop is over
	wait  sync.WaitGroup

	// The loop's.
	state       state
	generations []*generation // that live
	incumbent   *generation   // nil while none serves
	attempt     *attempt      // the handover under way, or the start
	instead     *instead      // what is to be started while none can serve; nil if that is what was there
	spare       []holding     // held for the next generation, while none lives
	highest     int           // generation number
	attempts    uint32        // the number of the service's last handover
	requests    uint32        // the last number of a question to a generation
	replaces    bool          // this program was put in the place of another keeper
	client      *wire.Link    // who has asked for that, and waits for the answer; or nil
	backoff     backoff
	timer       *time.Timer // of the next start, of an attempt's deadline, or of the end
	restarts    int         // after deaths
	counting    bool        // STATS was asked for: generations count requests
	last        string      // how the last attempt or life ended
	ended       *wire.Reply // how the last handover ended
	left        *ExitError  // how the service ended, when nobody asked for it
	code        int         // the exit status of the generation that served last
}

// ExitError tells how a service ended that nobody told to end.
type ExitError struct {
	// Code is the exit status of its last process, or 128 and the signal that ended it.
	Code   int
	Reason string
}

func (e *ExitError) Error() string { return e.Reason }

// New prepares a keeper: it binds the takeover socket, or takes over a service of that name whose keeper has died, and listens
// where the configuration says. It starts nothing. Errors: those of the configuration; another keeper has this service.
func New(ctx context.Context, config Config) (*Keeper, error) {
	if err := platform.Supported(); err != nil {
		return nil, fmt.Errorf("keep a service: %w", err)
	}
	config, err := config.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("configure keeper: %w", err)
	}
	before, err := inherited(config)
	if err != nil {
		return nil, err
	}
	k := &Keeper{
		config: config, log: config.Logger, build: peer.OwnBuild(), started: time.Now(),
		inbox: make(chan peer.Report, 64), calls: make(chan func(), 16), done: make(chan struct{}),
		backoff: backoff{limit: config.Restarts, steady: config.Steady},
	}
	if err := k.output.set(config.Output); err != nil {
		return nil, err
	}
	if k.shelf, err = newShelf(config); err != nil {
		return nil, err
	}
	if config.Strategy == Nginx {
		if k.nginx, err = newNginx(config); err != nil {
			k.shelf.close()
			return nil, err
		}
	}
	k.nursery = newNursery(config.Logger)
	k.ended = &wire.Reply{}
	k.door, err = openDoor(ctx, k, before)
	switch {
	case err != nil:
	case before != nil:
		k.replaces = true
		err = k.restore(before)
	default:
		if err = k.listen(); err != nil {
			k.door.abandon()
		}
	}
	if err != nil {
		k.shelf.close()
		return nil, err
	}
	k.systemd = notify.New(config.Logger)
	return k, nil
}

// Run keeps the service until it has ended. It returns nil after the keeper was told to end, by ctx or by a signal, and the
// service ended well; an *ExitError when the service ended otherwise. No process of the service is left then.
//
// SIGTERM and SIGINT end the service gracefully, SIGUSR2 upgrades it. SIGHUP, SIGUSR1, SIGQUIT and SIGWINCH are passed on to
// the generation that serves.
func (k *Keeper) Run(ctx context.Context) error {
	stop := k.obeySignals(ctx)
	defer stop()
	k.nursery.begin()
	k.door.open()
	if k.replaces {
		k.goOn()
	}
	k.timer = time.NewTimer(0)
	defer k.timer.Stop()
	for _, g := range k.generations { // of the program before this one
		g.observe(k)
	}
	switch {
	case k.incumbent != nil:
		k.ready()
	case k.door.joined != nil:
		k.meet(k.door.joined)
	}
	for k.state != ended {
		select {
		case r := <-k.inbox:
			k.reported(r)
		case call := <-k.calls:
			call()
		case <-k.timer.C:
			k.expired()
		}
	}
	return k.end()
}

// end lets go of everything, when no process is left.
func (k *Keeper) end() error {
	close(k.done)
	k.systemd.Close()
	k.relieve()
	k.door.close()
	k.wait.Wait()
	k.nursery.close()
	letGo(k.spare)
	k.shelf.close()
	switch {
	case k.left != nil:
		return k.left
	case k.code != 0:
		return &ExitError{Code: k.code, Reason: k.last}
	default:
		return nil
	}
}

// step is a transition.
func (k *Keeper) step(e event, why string) bool {
	to, ok := next(k.state, e)
	if !ok {
		k.log.Debug("keeper event without a transition", "state", k.state.String(), "event", e.String(), "reason", why)
		return false
	}
	if to != k.state {
		k.log.Debug("keeper transition", "from", k.state.String(), "event", e.String(), "to", to.String(), "reason", why)
	}
	k.state = to
	return true
}

// expired acts on the timer: a start is due, or someone has had enough time.
func (k *Keeper) expired() {
	switch k.state {
	case down:
		if k.step(onDue, "") {
			k.start()
		}
	case starting, upgrading:
		if k.attempt != nil {
			k.attempt.expired(k)
		}
	case ending:
		for _, g := range k.generations {
			k.log.Warn("killed: it has not ended in time", "generation", g.number, "pid", g.PID(), "timeout", k.stopTimeout())
			_ = g.process.Kill()
		}
	}
}

// meet takes a generation that another keeper had started.
func (k *Keeper) meet(g *generation) {
	k.add(g)
	k.log.Info("the service goes on under this keeper", "service", k.config.Name, "generation", g.number, "pid", g.PID())
	k.step(onDue, "a generation lives")
	g.build.dir = releaseOf(g.PID())
	k.hold(g.PID(), func(s stock, err error) {
		s.dir = g.build.dir
		g.build = s
		if k.incumbent == g {
			k.shelf.serves(s)
		}
		if err != nil {
			k.log.Warn("the build that serves is not kept: a restart starts what is on disk", "error", err)
		}
	})
}

// add begins to hear a generation.
func (k *Keeper) add(g *generation) {
	k.generations = append(k.generations, g)
	g.observe(k)
}

// reported handles what a generation says, and its death.
func (k *Keeper) reported(r peer.Report) {
	if k.attempt != nil && k.attempt.offer != nil && r.Peer == k.attempt.offer.Peer {
		k.attempt.offer.reported(r)
		return
	}
	i := slices.IndexFunc(k.generations, func(g *generation) bool { return g.Peer == r.Peer })
	switch {
	case i < 0:
		peer.CloseDescriptors(r.Frame)
	case r.On == peer.Spoke && r.Fault == nil:
		k.generations[i].said(k, r.Frame)
	case r.On == peer.Died:
		k.died(k.generations[i], r.Why)
	default:
		k.log.Warn("a generation cannot be understood, or has closed its link", "generation", k.generations[i].number, "pid", k.generations[i].PID(), "error", r.Fault, "reason", r.Why)
		if r.On == peer.LinkEnded {
			k.rejoin(k.generations[i])
		}
	}
}

// up notes that g is the incumbent.
func (k *Keeper) up(g *generation) {
	if !k.step(onUp, "") {
		return
	}
	first := k.incumbent == nil // nobody has handed over to it
	g.keep()
	if k.incumbent != g {
		k.incumbent = g
		g.since = time.Now()
		for _, other := range k.generations {
			if other != g {
				other.letGo()
			}
		}
		letGo(k.spare)
		k.spare = nil
		k.shelf.serves(g.build)
		k.log.Info("serving", "service", k.config.Name, "generation", g.number, "pid", g.PID(), "build", g.build.String())
	}
	k.relieve()
	if first {
		k.ready()
		k.redirect(g)
		k.insteadServes(g)
	}
	switch a := k.attempt; {
	case a == nil || a.successor != g:
	case a.offer != nil:
		k.attempt = nil
		a.close()
		k.timer.Stop()
	case a.incumbent == nil && k.state == upgrading:
		k.over(a, a.final(k)) // the incumbent cannot say so any more
	}
}

// died takes leave of a generation.
func (k *Keeper) died(g *generation, how string) {
	k.generations = slices.DeleteFunc(k.generations, func(other *generation) bool { return other == g })
	g.answerAll(how)
	served := time.Duration(0)
	if k.incumbent == g {
		k.incumbent = nil
		served = time.Since(g.since)
		k.code = g.exitCode()
		k.last = fmt.Sprintf("generation %d, process %d: %s", g.number, g.PID(), how)
		k.spare = append(k.spare, g.held...)
		g.held = nil
		k.log.Log(context.Background(), level(k.state == ending), "the generation that served has ended", "generation", g.number, "pid", g.PID(), "how", how, "served", served)
	} else {
		k.log.Info("a generation has ended", "generation", g.number, "pid", g.PID(), "how", how)
		g.letGo()
	}
	g.close()
	k.shelf.drop(g.build)
	if a := k.attempt; a != nil {
		if a.offer != nil && a.successor == g {
			k.code = g.exitCode()
			if a.offer.reason != "" {
				how = fmt.Sprintf("%s (%s)", a.offer.reason, how)
			}
		}
		a.lost(k, g, how)
	}
	if k.incumbent != nil {
		k.relieve()
	}
	switch {
	case k.state == ending:
		if len(k.generations) == 0 {
			k.step(onEmpty, "")
		}
	case k.incumbent != nil || k.attempt != nil && k.attempt.lives():
	case served > 0 && g.leftWell():
		k.log.Info("the service has ended by itself", "generation", g.number)
		k.leave(0, "the service has ended by itself")
	default:
		k.insteadFell(g.build, how)
		k.fell(served, how)
	}
}

// released has the service started again while g, which has failed and takes nothing in any more, finishes what it has.
func (k *Keeper) released(g *generation, why string) {
	k.log.Error("the generation that served has failed", "generation", g.number, "pid", g.PID(), "reason", why, "served", time.Since(g.since))
	k.incumbent = nil
	k.last = fmt.Sprintf("generation %d, process %d: it has failed: %s", g.number, g.PID(), why)
	k.spare = append(k.spare, g.held...)
	g.held = nil
	k.fell(time.Since(g.since), why)
}

func level(expected bool) slog.Level {
	if expected {
		return slog.LevelInfo
	}
	return slog.LevelError
}

// fell has the service started again: nobody serves.
func (k *Keeper) fell(served time.Duration, how string) {
	if a := k.attempt; a != nil {
		k.attempt = nil
		a.close()
		if k.state == upgrading {
			k.ended = &wire.Reply{Attempt: k.attempts, Outcome: "aborted", Error: "the service has died: " + how, Code: wire.CodeFailed}
			a.answered(k.ended)
		}
	}
	if !k.step(onDown, how) {
		return
	}
	k.restarts++
	delay, again := k.backoff.died(served)
	if !again {
		why := fmt.Sprintf("given up after %d deaths in a row, none after %s of serving; the last: %s", k.config.Restarts, k.config.Steady, how)
		k.log.Error("the service is given up", "service", k.config.Name, "reason", why)
		k.leave(max(k.code, 1), why)
		return
	}
	k.log.Warn("the service is started again", "service", k.config.Name, "in", delay, "after", how)
	k.timer.Reset(delay)
}

// leave ends the keeper because the service has ended.
func (k *Keeper) leave(code int, why string) {
	if code != 0 {
		k.left = &ExitError{Code: code, Reason: why}
	}
	k.code = 0
	k.stop(onLeft, why)
}

// stop ends the service. Told twice, it says so to the service again, which then hurries.
func (k *Keeper) stop(e event, why string) {
	k.answerInstead(&wire.Reply{Outcome: "aborted", Error: "the service ends", Code: wire.CodeCancelled})
	signal := syscall.SIGTERM
	if k.step(e, why) {
		signal = k.config.StopSignal
		k.log.Info("ending", "service", k.config.Name, "reason", why)
		k.systemd.Say(notify.Notice{Text: "STOPPING=1\nSTATUS=ending", Feed: true})
		k.timer.Reset(k.stopTimeout())
		if a := k.attempt; a != nil {
			k.attempt = nil
			a.close()
			a.answered(&wire.Reply{Outcome: "aborted", Error: "the service ends", Code: wire.CodeCancelled})
		}
		if len(k.generations) == 0 {
			k.step(onEmpty, "")
		}
	} else if k.state != ending {
		return
	}
	for _, g := range k.generations {
		if err := g.process.Signal(signal); err != nil {
			k.log.Warn("a generation cannot be told to end", "pid", g.PID(), "error", err)
		}
	}
}

// ready tells systemd that the service serves.
func (k *Keeper) ready() {
	k.systemd.Say(notify.Notice{Text: "READY=1\nSTATUS=serving", Feed: true})
}

// post has f run in the loop. It reports false if that is over.
func (k *Keeper) post(f func()) bool {
	select {
	case k.calls <- f:
		return true
	case <-k.done:
		return false
	}
}

// background runs f in a goroutine that the keeper waits for: f must return soon after ctx is done.
func (k *Keeper) background(ctx context.Context, f func(ctx context.Context)) {
	k.wait.Add(1)
	go func() {
		defer k.wait.Done()
		f(ctx)
	}()
}

func (k *Keeper) hello(role wire.Role) wire.Hello {
	return wire.Hello{Protocol: wire.Protocols, Features: wire.Features(), Role: role, PID: os.Getpid(), Build: k.build}
}

var errNoService = errors.New("the service does not serve")
