package subject

import (
	"bufio"
	"os"
	"strings"
	"sync"
)

// keptLines bounds the memory of a log.
const keptLines = 1000

// Log is what the processes of a subject write, line by line.
type Log struct {
	mu    sync.Mutex
	lines []string
	watch func(line string)
}

func newLog() *Log { return &Log{} }

// Watch has f told every line from now on, one after the other; nil: nobody.
func (l *Log) Watch(f func(line string)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watch = f
}

// Tail returns the last n lines.
func (l *Log) Tail(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines[max(0, len(l.lines)-n):], "\n")
}

// pipe returns what a process is to write to; the caller closes it. The reader ends with the last process that has it.
func (l *Log) pipe(wait *sync.WaitGroup) (*os.File, error) {
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	wait.Go(func() {
		defer out.Close()
		for lines := bufio.NewScanner(out); lines.Scan(); {
			l.add(lines.Text())
		}
	})
	return in, nil
}

func (l *Log) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == keptLines {
		l.lines = append(l.lines[:0], l.lines[keptLines/2:]...)
	}
	l.lines = append(l.lines, line)
	if l.watch != nil {
		l.watch(line)
	}
}
