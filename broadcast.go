package handover

import "sync"

// broadcast is something that everyone can wait for, and that may be undone.
// Its zero value has not begun.
type broadcast struct {
	mu    sync.Mutex
	c     chan struct{} // nil: nobody waits; every session has one of these, and most never do
	begun bool
}

// wait returns a channel that is closed when it has begun.
func (b *broadcast) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.c == nil {
		b.c = make(chan struct{})
		if b.begun {
			close(b.c)
		}
	}
	return b.c
}

func (b *broadcast) begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.begun {
		b.begun = true
		if b.c != nil {
			close(b.c)
		}
	}
}

// end undoes begin, for whoever waits from now on.
func (b *broadcast) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.begun {
		b.begun, b.c = false, nil
	}
}
