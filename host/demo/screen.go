package demo

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/handover-go/handover"
	"github.com/handover-go/handover/handovertest"
)

// screen shows the demo as it goes.
type screen struct {
	w        io.Writer
	terminal bool
	began    time.Time

	mu sync.Mutex // of what is printed
}

// erase takes back the line that live has printed.
const erase = "\r\x1b[K"

// live shows, on a terminal, what clients see at this moment, in a last line, until stopped.
func (s *screen) live(snapshot func() handovertest.Report) (stop func()) {
	if !s.terminal {
		return func() {}
	}
	over, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				r := snapshot()
				s.print("%s%5.1f s  %d requests answered, %d failed, %d connections closed", erase, time.Since(s.began).Seconds(), r.OK, failed(r), r.Closed)
			case <-over:
				s.print(erase)
				return
			}
		}
	}()
	return func() {
		close(over)
		<-done
	}
}

func (s *screen) print(format string, a ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.w, format, a...)
}

const columns = "%7s  %-5s  %-21s  %-52s %9s %9v %7v %7v %14v\n"

func (s *screen) title(address string) {
	s.print("%d clients of every kind use a service on %s while it is replaced %d times, %d times by a bad build.\n",
		handovertest.Polite().Total(), address, len(plan)-1, len(plan)-1-planned(handover.Final))
	s.print("Then the only generation is killed. Losses in a crash are what the process that died had accepted.\n\n")
}

func (s *screen) head() {
	s.print(columns, "time", "build", "what it is", "what happened", "switch", "requests", "failed", "closed", "lost in crash")
}

// row shows what became of a build, and what its clients have seen until then.
func (s *screen) row(b build, what, happened, switched string, r handovertest.Report) {
	now := fmt.Sprintf("%.1f s", time.Since(s.began).Seconds())
	s.print(s.line(), now, b.name, what, happened, switched, r.Requests, failed(r), r.Closed, died(r))
}

// line is how a row is printed.
func (s *screen) line() string {
	if s.terminal {
		return erase + columns
	}
	return columns
}
