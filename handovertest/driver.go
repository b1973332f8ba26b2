package handovertest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

var (
	errSeen = errors.New("seen before")
	errOver = errors.New("the load has stopped")
)

// StartError is why [Drive] gave up: a client lost something before its first
// good answer. The service was not fit to be measured.
type StartError struct {
	Report Report
}

func (e *StartError) Error() string {
	return "drive: not every client had a good answer: " + e.Report.String()
}

// Driver is a load that runs. Its methods may be called at any time, by many.
type Driver struct {
	load    Load
	name    string // begins every request id
	clients []*client
	began   time.Time
	stop    context.CancelFunc
	done    sync.WaitGroup
	end     sync.Once
	over    chan struct{} // closed when the last client has stopped

	lastGood atomic.Int64 // nanoseconds since began
	gap      atomic.Int64
	stall    stall
	complete atomic.Bool  // every client takes its turns: none begins, none leaves
	waiting  atomic.Int32 // how many waiters: the hot path takes no lock for nobody

	mu      sync.Mutex
	ended   time.Time
	deaths  []death
	waiters map[*waiter]struct{}
}

// waiter counts answers down.
type waiter struct {
	wanted func(Answer) bool
	left   int
	done   chan struct{}
}

// Drive starts the load and returns when each client has had its first good
// answer; a Silent one, when its connection is open. If one loses something
// before, all are stopped and the error is a [*StartError]. The end of ctx
// begins to stop the clients, as Stop does; call Stop in any case, to wait.
func Drive(ctx context.Context, l Load) (*Driver, error) {
	l = l.withDefaults()
	if err := l.validate(); err != nil {
		return nil, err
	}
	for l.Seed == 0 {
		l.Seed = rand.Uint64()
	}
	ctx, stop := context.WithCancel(ctx)
	d := &Driver{
		load: l, name: strconv.FormatUint(rand.Uint64(), 36), stop: stop,
		began: time.Now(), waiters: map[*waiter]struct{}{}, over: make(chan struct{}),
	}
	d.done.Go(func() { d.stall.run(ctx) })
	settled := make(chan bool, l.Clients.Total())
	for _, k := range kinds {
		for range k.count(l.Clients) {
			c := newClient(d, k, len(d.clients), settled)
			d.clients = append(d.clients, c)
			d.done.Go(func() { c.run(ctx) })
		}
	}
	for range d.clients {
		select {
		case good := <-settled:
			if !good {
				return nil, &StartError{d.Stop()}
			}
		case <-ctx.Done():
			d.Stop()
			return nil, fmt.Errorf("drive: %w", context.Cause(ctx))
		}
	}
	d.complete.Store(true)
	context.AfterFunc(ctx, func() { d.complete.Store(false) })
	return d, nil
}

// Killed tells that the process was killed, at the instant just before the
// signal was sent, and is dead. Losses after it on connections that were in its
// ledger count as lost in a crash.
func (d *Driver) Killed(pid int, at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.deaths = append(d.deaths, death{pid: pid, at: at, dead: time.Now()})
}

// WaitAnswers waits until n more good answers have come. It fails at the end of
// ctx, which should have a deadline, and when the load is stopped.
func (d *Driver) WaitAnswers(ctx context.Context, n int) error {
	if err := d.wait(ctx, n, func(Answer) bool { return true }); err != nil {
		return fmt.Errorf("wait for %d answers: %w", n, err)
	}
	return nil
}

// WaitPID waits until a good answer by that process has come. One that came
// before the call does as well.
func (d *Driver) WaitPID(ctx context.Context, pid int) error {
	ctx, seen := context.WithCancelCause(ctx)
	defer seen(nil)
	// The waiter is registered before the past is looked at, so that no answer
	// falls between.
	ready := func() {
		if d.Snapshot().ByPID[pid] > 0 {
			seen(errSeen)
		}
	}
	err := d.waitAfter(ctx, 1, func(a Answer) bool { return a.PID == pid }, ready)
	if err != nil && !errors.Is(context.Cause(ctx), errSeen) {
		return fmt.Errorf("wait for an answer by pid %d: %w", pid, err)
	}
	return nil
}

// Snapshot reports what has been seen so far.
func (d *Driver) Snapshot() Report {
	d.mu.Lock()
	deaths, ended := slices.Clone(d.deaths), d.ended
	d.mu.Unlock()
	if ended.IsZero() {
		ended = time.Now()
	}
	r := Report{
		Began: d.began, Took: ended.Sub(d.began), Seed: d.load.Seed, LongestGap: time.Duration(d.gap.Load()),
		OwnStall: time.Duration(d.stall.longest.Load()),
		ByPID:    map[int]int{}, ByGeneration: map[int]int{}, LostByKind: map[string]map[Outcome]int{},
	}
	var latency histogram
	for _, c := range d.clients {
		c.tally.addTo(&r, &latency)
	}
	r.Latency = latency.summary()
	slices.SortStableFunc(r.Losses, func(a, b Loss) int { return cmp.Compare(a.At.UnixNano(), b.At.UnixNano()) })
	d.explain(&r, deaths)
	for _, l := range r.Losses {
		r.count(l)
	}
	r.Losses = slices.Clone(r.Losses[:min(len(r.Losses), keptLosses)])
	return r
}

// Stop lets each client finish the request in hand and look at its connection
// once more, waits for them and reports. Pauses end at once; Silent and Idle
// clients ask what they owe. It takes no longer than Span and a few Timeouts.
func (d *Driver) Stop() Report {
	d.stop()
	d.done.Wait()
	d.end.Do(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.ended = time.Now()
		close(d.over)
	})
	return d.Snapshot()
}

// explain turns losses into losses in a crash, where the ledger says so.
func (d *Driver) explain(r *Report, deaths []death) {
	if len(deaths) == 0 || len(r.Losses) == 0 {
		return
	}
	book, err := readLedger(d.load.Ledger, d.load.Address)
	if err != nil {
		r.LedgerError = err.Error()
		return
	}
	deaths = slices.DeleteFunc(deaths, func(died death) bool { return !keptLedger(d.load.Ledger, died.pid) })
	for i := range deaths {
		deaths[i].stall = r.OwnStall
	}
	for i, l := range r.Losses {
		switch {
		case l.Outcome != Failed && l.Outcome != Closed || l.Local == "":
		case book.diedHolding(l, deaths):
			r.Losses[i].Outcome = LostInCrash
		case book.unwritten(l, deaths):
			r.Losses[i].Outcome = Unwritten
		}
	}
}

// answered is the hot path of every client.
func (d *Driver) answered(a Answer) {
	now := int64(time.Since(d.began))
	// Two clients may swap in the wrong order; then the difference is negative.
	if last := d.lastGood.Swap(now); last > 0 && d.complete.Load() {
		for gap := d.gap.Load(); now-last > gap && !d.gap.CompareAndSwap(gap, now-last); gap = d.gap.Load() {
		}
	}
	if d.waiting.Load() == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for w := range d.waiters {
		if !w.wanted(a) {
			continue
		}
		if w.left--; w.left == 0 {
			close(w.done)
		}
	}
}

func (d *Driver) wait(ctx context.Context, n int, wanted func(Answer) bool) error {
	return d.waitAfter(ctx, n, wanted, func() {})
}

// waitAfter registers a waiter, calls ready, and waits.
func (d *Driver) waitAfter(ctx context.Context, n int, wanted func(Answer) bool, ready func()) error {
	if n <= 0 {
		return nil
	}
	w := &waiter{wanted, n, make(chan struct{})}
	d.mu.Lock()
	d.waiters[w] = struct{}{}
	d.waiting.Add(1)
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		delete(d.waiters, w)
		d.waiting.Add(-1)
		d.mu.Unlock()
	}()
	ready()
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-d.over:
		return errOver
	}
}
