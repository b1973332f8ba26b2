package strict_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
)

// output is what the processes of a service write. It ends when the last of them has ended.
type output struct {
	writer *os.File // what they inherit
	ended  chan struct{}

	mu    sync.Mutex
	lines []string
	more  chan struct{} // closed when a line has come, and replaced
	read  int           // by next
}

func newOutput() (*output, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	o := &output{writer: writer, ended: make(chan struct{}), more: make(chan struct{})}
	go func() {
		defer close(o.ended)
		defer func() { _ = reader.Close() }()
		lines := bufio.NewScanner(reader)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			o.add(lines.Text())
		}
	}()
	return o, nil
}

func (o *output) add(line string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lines = append(o.lines, line)
	close(o.more)
	o.more = make(chan struct{})
}

// next waits for the next line that matches, and returns the match and its groups. Each line is looked at once.
func (o *output) next(ctx context.Context, pattern *regexp.Regexp) ([]string, error) {
	for {
		o.mu.Lock()
		more := o.more
		for o.read < len(o.lines) {
			o.read++
			if m := pattern.FindStringSubmatch(o.lines[o.read-1]); m != nil {
				o.mu.Unlock()
				return m, nil
			}
		}
		o.mu.Unlock()
		select {
		case <-more:
		case <-o.ended:
			return nil, fmt.Errorf("await %q: every process has ended", pattern)
		case <-ctx.Done():
			return nil, fmt.Errorf("await %q: %w", pattern, ctx.Err())
		}
	}
}

// all returns the lines that match.
func (o *output) all(pattern *regexp.Regexp) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var found []string
	for _, line := range o.lines {
		if pattern.MatchString(line) {
			found = append(found, line)
		}
	}
	return found
}

// tail returns the last n lines.
func (o *output) tail(n int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.lines[max(0, len(o.lines)-n):], "\n")
}

// finish gives up the test's own end, and waits until nobody else has one.
func (o *output) finish(ctx context.Context) error {
	_ = o.writer.Close()
	select {
	case <-o.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("a process still holds the service's standard error: %w", ctx.Err())
	}
}
