package handovertest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
)

// output is what a family of processes has written, line by line. Its one
// reader runs until the last process has closed its end.
type output struct {
	mu      sync.Mutex
	lines   []string
	races   int // reported by race detectors
	watches map[*Watch]struct{}
	ended   chan struct{}
	source  io.ReadCloser
}

// keptLines bounds the memory of a long run.
const keptLines = 10_000

// Watch waits for a line of output that comes after it was made.
type Watch struct {
	output *output
	match  func(line string) bool
	found  chan string
}

// newOutput owns source, and closes it at its end.
func newOutput(source io.ReadCloser) *output {
	return &output{watches: map[*Watch]struct{}{}, ended: make(chan struct{}), source: source}
}

// read takes lines until the end, and copies them to tee if there is one.
func (o *output) read(tee io.Writer) {
	defer close(o.ended)
	defer o.source.Close()
	lines := bufio.NewReader(o.source)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			if tee != nil {
				io.WriteString(tee, line)
			}
			o.add(strings.TrimSuffix(line, "\n"))
		}
		if err != nil {
			return
		}
	}
}

func (o *output) add(line string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.lines) == keptLines {
		o.lines = append(o.lines[:0], o.lines[keptLines/2:]...)
	}
	o.lines = append(o.lines, line)
	if strings.HasPrefix(line, "WARNING: DATA RACE") {
		o.races++
	}
	for w := range o.watches {
		if w.match(line) {
			w.found <- line
			delete(o.watches, w)
		}
	}
}

func (o *output) watch(match func(string) bool) *Watch {
	w := &Watch{o, match, make(chan string, 1)}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.watches[w] = struct{}{}
	return w
}

// Line waits for the first line that matches. It fails at the end of ctx, or
// when every process that could write it has gone.
func (w *Watch) Line(ctx context.Context) (string, error) {
	select {
	case line := <-w.found:
		return line, nil
	default:
	}
	select {
	case line := <-w.found:
		return line, nil
	case <-ctx.Done():
		return "", fmt.Errorf("wait for a line of output: %w", ctx.Err())
	case <-w.output.ended:
		select {
		case line := <-w.found:
			return line, nil
		default:
			return "", fmt.Errorf("wait for a line of output: every process has ended")
		}
	}
}

// Forget ends the watch.
func (w *Watch) Forget() {
	w.output.mu.Lock()
	defer w.output.mu.Unlock()
	delete(w.output.watches, w)
}

// abandon ends read although somebody could still write.
func (o *output) abandon() { o.source.Close() }

// takeRaces returns how many data races were written of since it was last asked.
func (o *output) takeRaces() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.races
	o.races = 0
	return n
}

func (o *output) tail(n int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.lines[max(0, len(o.lines)-n):], "\n")
}
