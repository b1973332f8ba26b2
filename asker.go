package handover

import "time"

// asker has sessions let go, at each moment no more than can be sent soon: one that was let go stands still until it has arrived.
type asker struct {
	sessions *sessions
	round    []*Session // not asked yet
	again    time.Time  // when the next round begins, for those that did not let go
	awaited  int        // asked lately, and not come yet
	lately   time.Time
}

const (
	// askInterval is how long a session is left alone that was asked to be let go.
	askInterval = time.Second
	// askPatience is how long one is awaited before others are asked in its place.
	askPatience = tickInterval
)

// anew forgets who was asked: connections follow to another generation now, or follow again.
func (a *asker) anew() { a.round, a.again, a.awaited = nil, time.Time{}, 0 }

// came notes that sessions were let go.
func (a *asker) came(captured []*conn) {
	for _, c := range captured {
		if c.luggage != nil && a.awaited > 0 {
			a.awaited--
		}
	}
}

// more asks sessions, as many as there is room for.
func (a *asker) more(room int) {
	now := time.Now()
	if now.Sub(a.lately) > askPatience {
		a.awaited, a.lately = 0, now
	}
	if len(a.round) == 0 && !now.Before(a.again) {
		a.round, a.again = a.sessions.served(), now.Add(askInterval)
	}
	for len(a.round) > 0 && a.awaited < room {
		if a.round[0].ask() {
			a.awaited++
		}
		a.round = a.round[1:]
	}
}
