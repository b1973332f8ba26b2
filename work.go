package handover

import (
	"context"
	"sync"
)

// work is what a generation does in the background while it serves: at any moment at most one generation does it.
type work struct {
	failed func(error) // called once, by a function that returned an error of its own accord

	mu      sync.Mutex
	tasks   []*task
	running bool
}

type task struct {
	fn    func(context.Context) error
	stop  context.CancelFunc
	ended chan struct{} // of the last run
}

func (w *work) add(fn func(context.Context) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := &task{fn: fn}
	w.tasks = append(w.tasks, t)
	if w.running {
		w.start(t)
	}
}

// begin starts every function.
func (w *work) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running {
		return
	}
	w.running = true
	for _, t := range w.tasks {
		w.start(t)
	}
}

// start runs t, once its last run has ended: a function that ignores its context too long must not run twice at a time.
func (w *work) start(t *task) {
	ctx, stop := context.WithCancel(context.Background())
	before, ended := t.ended, make(chan struct{})
	t.stop, t.ended = stop, ended
	go func() {
		defer close(ended)
		defer stop()
		if before != nil {
			<-before
		}
		if ctx.Err() != nil {
			return
		}
		if err := t.fn(ctx); err != nil && ctx.Err() == nil {
			w.failed(err)
		}
	}()
}

// cancel tells every function to return.
func (w *work) cancel() []chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running = false
	var ended []chan struct{}
	for _, t := range w.tasks {
		if t.stop != nil {
			t.stop()
			ended = append(ended, t.ended)
		}
	}
	return ended
}

// end cancels and waits, as long as ctx lasts.
func (w *work) end(ctx context.Context) error {
	for _, ended := range w.cancel() {
		select {
		case <-ended:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
