package control

import (
	"sync"
	"time"
)

// Feed holds the last events, for any number of readers, who cannot hold up each other or who publishes.
type Feed struct {
	mu      sync.Mutex
	ring    []Event
	first   uint64 // ID of the first that there ever was
	next    uint64
	changed chan struct{} // closed at the next event
}

// NewFeed makes a feed that holds so many events, at least one. Their IDs begin with the time, in microseconds since 1970, so that
// they rise over a restart.
func NewFeed(size int) *Feed {
	first := uint64(time.Now().UnixMicro())
	return &Feed{ring: make([]Event, max(1, size)), first: first, next: first, changed: make(chan struct{})}
}

// Publish gives the event its ID, and its time if it has none, and never waits.
func (f *Feed) Publish(e Event) {
	if e.At.IsZero() {
		e.At = time.Now().UTC()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	e.ID = f.next
	f.ring[f.next%uint64(len(f.ring))] = e
	f.next++
	close(f.changed)
	f.changed = make(chan struct{})
}

// last is the ID of the last event.
func (f *Feed) last() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.next - 1
}

// since returns at most a hundred events after that ID, and whether some after it are gone already. If there are none, changed is closed when there
// is one.
func (f *Feed) since(after uint64) (events []Event, gone bool, changed <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	oldest := max(f.first, f.next-min(f.next, uint64(len(f.ring))))
	from := after + 1
	if from < oldest {
		from, gone = oldest, true
	}
	for id := from; id < f.next && len(events) < 100; id++ {
		events = append(events, f.ring[id%uint64(len(f.ring))])
	}
	return events, gone, f.changed
}
