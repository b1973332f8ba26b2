package handover

import "time"

// asker has connections leave: plain HTTP at its idle point, and sessions. At each moment no more are asked than can be sent soon, as one
// that has left stands still until it has arrived; and they leave in bursts, with rests between them (Config.MigrationShare), so
// that those who work do not wait for a processor.
type asker struct {
	process *Process
	round   []leaver  // not asked yet
	again   time.Time // when the next round begins, for those that did not leave
	awaited int       // asked lately, and not come yet
	lately  time.Time

	began   time.Time // of the present burst; zero: none
	brought bool      // something has come of it
	rest    time.Time // no burst begins before
	timer   *time.Timer
	hurry   bool // the time left is not for rests
}

// leaver is a connection that can be asked to leave. It reports false if it will not.
type leaver interface{ ask() bool }

const (
	// askInterval is how long a connection is left alone that was asked to leave.
	askInterval = time.Second
	// askPatience is how long one is awaited before others are asked in its place.
	askPatience = tickInterval
	// burstSize is how many leave between two rests: so few that the last of them is through in a fraction of a millisecond.
	burstSize = 16
)

func newAsker(p *Process) asker {
	a := asker{process: p, timer: time.NewTimer(time.Hour)}
	a.timer.Stop()
	return a
}

// anew forgets who was asked: connections follow to another generation now, or follow again.
func (a *asker) anew() {
	a.round, a.again, a.awaited = nil, time.Time{}, 0
	a.began, a.brought, a.rest = time.Time{}, false, time.Time{}
}

// came notes that connections have left.
func (a *asker) came(captured []*conn) {
	a.awaited = max(0, a.awaited-len(captured))
	a.brought = a.brought || len(captured) > 0 && !a.began.IsZero() // one that comes late, in a rest, begins nothing
}

// more asks connections, as many as there is room for beside those under way.
func (a *asker) more(underWay int) {
	now := time.Now()
	if now.Sub(a.lately) > askPatience {
		a.awaited, a.lately = 0, now
	}
	room := window - underWay
	if share := a.process.config.MigrationShare; share < 1 && !a.hurry {
		room = a.burst(now, share, underWay)
	}
	if len(a.round) == 0 && !now.Before(a.again) {
		a.round, a.again = a.present(), now.Add(askInterval)
	}
	for len(a.round) > 0 && a.awaited < room {
		if a.round[0].ask() {
			a.awaited++
		}
		a.round = a.round[1:]
	}
}

// burst tells how many may be asked. After each burst there is a rest, in proportion to the time that it took: on a busy machine
// both are longer.
func (a *asker) burst(now time.Time, share float64, underWay int) (room int) {
	if a.brought && underWay == 0 {
		rest := time.Duration(float64(now.Sub(a.began)) * (1/share - 1))
		a.rest, a.began, a.brought = now.Add(rest), time.Time{}, false
		a.timer.Reset(rest)
	}
	if now.Before(a.rest) || !a.began.IsZero() && now.Sub(a.began) < askPatience {
		return 0
	}
	a.began, a.awaited = now, 0
	return burstSize
}

// due wakes the loop of life at the end of a rest.
func (a *asker) due() <-chan time.Time { return a.timer.C }

func (a *asker) stop() { a.timer.Stop() }

// present are all that may have to leave.
func (a *asker) present() (all []leaver) {
	for _, c := range a.process.sockets.watched() {
		all = append(all, c)
	}
	for _, s := range a.process.sessions.served() {
		all = append(all, s)
	}
	return all
}
