package handover

import "time"

const (
	// tickInterval is how finely deadlines are kept.
	tickInterval = 20 * time.Millisecond

	// missedTick is how late a tick must be for the process to have been stopped, frozen or starved. It then knows nothing
	// about its peer's silence, and every deadline is moved by the time lost.
	missedTick = time.Second

	// linkTimeout bounds the exchange of HELLO and OFFER.
	linkTimeout = 10 * time.Second

	// answerTimeout bounds an answer that costs the peer no work: SERVING, RETURNED, PONG, FREEZE after READY.
	answerTimeout = 5 * time.Second

	// grace is the time a successor has to end by itself after ABORT, before it is killed.
	grace = 500 * time.Millisecond

	// killInterval is the time after which a kill is repeated: a process in an uninterruptible system call dies late.
	killInterval = time.Second

	// lastWords is how long before connections are cut handlers are told so, where a tenth of the time to drain is not less:
	// long enough for an event or a trailer, and for the client's acknowledgement over a long way.
	lastWords = time.Second

	// hastened is the drain deadline after a second request to end.
	hastened = 5 * time.Second
)

// deadline returns the bound on the stay in a state, and whether it goes on from the state before it.
func (c *Config) deadline(s state) (d time.Duration, goesOn bool) {
	switch s {
	case joining:
		return linkTimeout, false
	case ready:
		return answerTimeout, false
	case frozen:
		return c.FreezeTimeout + answerTimeout, false
	case offering:
		return c.ReadyTimeout, false
	case awaiting:
		return c.ReadyTimeout, true
	case freezing:
		return c.FreezeTimeout, false
	case passing:
		return c.FreezeTimeout, true
	case committed, probation:
		return answerTimeout, false
	case reclaiming:
		return c.FreezeTimeout + answerTimeout, false
	case fencing:
		return killInterval, false
	case aborting:
		return grace, false
	case draining:
		return c.DrainTimeout, false
	case ending:
		return c.StopTimeout, false
	default:
		return 0, false // waits for nobody, or for the program
	}
}

// arm starts the deadline of the present state, entered from another.
func (l *life) arm(from state) {
	d, goesOn := l.process.config.deadline(l.state)
	if goesOn || from == l.state && l.leaving() {
		return
	}
	l.timer.start(d)
}

// deadlineTimer keeps one deadline in ticks, so that a process which was stopped notices.
type deadlineTimer struct {
	ticker    *time.Ticker
	last      time.Time // tick
	at        time.Time // zero: none
	length    time.Duration
	postponed int
}

// start sets the deadline d from now; 0 is none.
func (t *deadlineTimer) start(d time.Duration) {
	t.length, t.postponed, t.at = d, 0, time.Time{}
	if d == 0 {
		t.stop()
		return
	}
	t.at = time.Now().Add(d)
	t.run()
}

// run makes the ticks come.
func (t *deadlineTimer) run() {
	if t.ticker == nil {
		t.ticker = time.NewTicker(tickInterval)
		t.last = time.Now()
	}
}

// shorten moves the deadline to d from now, if that is sooner.
func (t *deadlineTimer) shorten(d time.Duration) {
	if sooner := time.Now().Add(d); t.at.IsZero() || sooner.Before(t.at) {
		t.start(d)
	}
}

func (t *deadlineTimer) stop() {
	if t.ticker != nil {
		t.ticker.Stop()
		t.ticker = nil
	}
}

func (t *deadlineTimer) ticks() <-chan time.Time {
	if t.ticker == nil {
		return nil
	}
	return t.ticker.C
}

// tick notes that time passed, and returns for how long this process did not run, by which its deadline was moved.
func (t *deadlineTimer) tick() (lost time.Duration) {
	now := time.Now()
	late := now.Sub(t.last) - tickInterval
	t.last = now
	if late < missedTick {
		return 0
	}
	if !t.at.IsZero() {
		t.at = t.at.Add(late)
	}
	return late
}

// halfway reports whether half of the time has passed.
func (t *deadlineTimer) halfway() bool { return !t.at.IsZero() && time.Until(t.at) <= t.length/2 }

// near reports whether little is left of the time.
func (t *deadlineTimer) near() bool {
	return !t.at.IsZero() && time.Until(t.at) <= min(lastWords, t.length/10)
}

func (t *deadlineTimer) expired() bool { return !t.at.IsZero() && !time.Now().Before(t.at) }

// postpone gives frames that are on their way to the loop some ticks to arrive. It reports false when they had enough.
func (t *deadlineTimer) postpone() bool {
	t.postponed++
	return t.postponed < 10
}
