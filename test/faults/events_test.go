//go:build linux

package faults

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/internal/platform"
)

// event is a line of the output that a round acts on.
type event struct {
	kind occurrence
	pid  int
	line string
}

type occurrence int

const (
	begins    occurrence = iota // a handover; pid is the successor's
	offered                     // its listeners have arrived
	proving                     // the successor, pid, serves
	struck                      // the fault at a frame, in pid
	takenBack                   // the successor
	settles                     // a handover has an outcome, or did not begin
)

var occurrences = []struct {
	kind occurrence
	line *regexp.Regexp
}{
	{begins, regexp.MustCompile(`msg="handover begins.* pid=(\d+)`)},
	{offered, regexp.MustCompile(`event=OFFER to=preparing`)},
	{proving, regexp.MustCompile(`msg="serving on probation".* pid=(\d+)`)},
	{struck, strikes},
	{takenBack, regexp.MustCompile(`msg="successor taken back`)},
	{settles, regexp.MustCompile(`msg="(?:serving: the handover is final|handover aborted|the incumbent died|upgrade signal: no handover begins|` +
		`the handover has ended|the keeper is gone|service ended)|msg=serving build=v1 `)},
}

// final are those of a handover that has succeeded.
var final = regexp.MustCompile(`serving: the handover is final|outcome=final`)

// dead are lines by which a process says that it, or another, ends by force: pid, and when in nanoseconds.
var dead = []*regexp.Regexp{
	regexp.MustCompile(`msg=crashing pid=(\d+) at=(\d+)`),
	regexp.MustCompile(`msg="crashing" pid=(\d+) at=(\d+)`),
	regexp.MustCompile(`msg="the successor is killed.* pid=(\d+)`),
	regexp.MustCompile(`msg="killed: .* pid=(\d+)`),
}

// reader reads the output of a service: it tells what happens, and the load whom it has lost.
type reader struct {
	events chan event

	mu     sync.Mutex
	load   *handovertest.Driver
	effect string // of a fault at a frame
	deaths int
	dying  sync.WaitGroup // until the load knows of each
}

func newReader() *reader { return &reader{events: make(chan event, 1000)} }

// drives says who is to know of deaths.
func (r *reader) drives(load *handovertest.Driver) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.load = load
}

// expects says what a fault at a frame does to who meets it, and forgets what has happened.
func (r *reader) expects(effect string) {
	r.mu.Lock()
	r.effect = effect
	r.mu.Unlock()
	for {
		select {
		case <-r.events:
		default:
			return
		}
	}
}

// Write takes a line.
func (r *reader) Write(p []byte) (int, error) {
	line := string(p)
	for _, o := range occurrences {
		if found := o.line.FindStringSubmatch(line); found != nil {
			e := event{kind: o.kind, line: strings.TrimSpace(line)}
			if len(found) > 1 {
				e.pid, _ = strconv.Atoi(found[1])
			}
			if o.kind == struck {
				r.strike(found)
			}
			select {
			case r.events <- e:
			default: // nobody acts on what comes between two steps
			}
		}
	}
	for _, form := range dead {
		if found := form.FindStringSubmatch(line); found != nil {
			r.death(found)
		}
	}
	return len(p), nil
}

func (r *reader) strike(found []string) {
	r.mu.Lock()
	kills := r.effect == "KILL"
	r.mu.Unlock()
	if kills {
		r.death(found)
	}
}

// death tells the load of one, at the instant that the line gives, or else the one before it can have been written.
func (r *reader) death(found []string) {
	pid, _ := strconv.Atoi(found[1])
	at := time.Now().Add(-10 * time.Millisecond)
	if len(found) > 2 {
		nanos, _ := strconv.ParseInt(found[2], 10, 64)
		at = time.Unix(0, nanos)
	}
	r.killed(pid, at)
}

// killed tells the load of a death, when the process is dead.
func (r *reader) killed(pid int, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deaths++
	if load := r.load; load != nil {
		r.dying.Go(func() {
			awaitDeath(pid)
			<-time.After(100 * time.Millisecond) // see run.struck
			load.Killed(pid, at)
		})
	}
}

// awaitDeath waits until a process that was killed is dead, or something is wrong that others will find.
func awaitDeath(pid int) {
	p, err := platform.OpenPidfd(pid)
	if err != nil {
		return // it has gone
	}
	defer p.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = p.Wait(ctx)
}

// allDeaths waits until the load knows of every death, and counts them.
func (r *reader) allDeaths() int {
	r.dying.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.deaths
}
