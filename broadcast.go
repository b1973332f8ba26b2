package handover

import "sync"

// broadcast is something that everyone can wait for, and that may be undone.
type broadcast struct {
	mu    sync.Mutex
	c     chan struct{}
	begun bool
}

func newBroadcast() *broadcast { return &broadcast{c: make(chan struct{})} }

// wait returns a channel that is closed when it has begun.
func (b *broadcast) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.c
}

func (b *broadcast) begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.begun {
		b.begun = true
		close(b.c)
	}
}

// end undoes begin, for whoever waits from now on.
func (b *broadcast) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.begun {
		b.begun = false
		b.c = make(chan struct{})
	}
}
