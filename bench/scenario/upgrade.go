package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/handover-go/handover/bench/measure"
	"github.com/handover-go/handover/bench/subject"
	"github.com/handover-go/handover/handovertest"
)

// Rate is how many turns each client of the load takes a second, whether it was answered or not.
const Rate = 40

// Clients are those of the load. Uploads and streams are left out for all: they verify trailers, which not every proxy passes on.
func Clients() handovertest.Clients {
	return handovertest.Clients{KeepAlive: 16, New: 6, Slow: 2, Continue: 2, Pipelined: 2, Dribble: 2, Silent: 2, Idle: 6}
}

const (
	// settle is the time between two upgrades in which the service is steady.
	settle = 700 * time.Millisecond
	// recovery is left out of both: a process that has just ended leaves work behind.
	recovery = 100 * time.Millisecond
)

// Upgraded upgrades a subject n times under load.
func Upgraded(ctx context.Context, b *subject.Builds, r *Result, n int) (err error) {
	running, err := r.Subject.Start(ctx, b)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, running.Stop()) }()
	var switches switches
	running.Log.Watch(switches.add)
	latencies := measure.NewLatencies()
	load, err := handovertest.Drive(ctx, handovertest.Load{
		Address: running.Address, Clients: Clients(), Pace: Rate, Timeout: 5 * time.Second,
		Quiet:    [2]time.Duration{500 * time.Millisecond, 1500 * time.Millisecond}, // across upgrades
		OnAnswer: func(_ string, begun time.Time, took time.Duration) { latencies.Add(begun, took) },
	})
	if err != nil {
		return err
	}
	done := 0
	for ; done < n && err == nil; done++ {
		err = upgradeOnce(ctx, running, latencies, r)
	}
	report := load.Stop()
	r.add(report, latencies)
	r.Upgrades += done
	r.Switches = append(r.Switches, switches.seen()...)
	return err
}

func upgradeOnce(ctx context.Context, running *subject.Running, latencies *measure.Latencies, r *Result) error {
	if err := r.steady(ctx, running); err != nil {
		return err
	}
	list := func() ([]int, error) { return running.All(false) }
	single := measure.NewPeak(ctx, list).Stop()
	var peak *measure.Peak
	u, err := running.Upgrade(ctx, func(at time.Time) {
		latencies.Disturb(at)
		peak = measure.NewPeak(ctx, list)
	})
	err = errors.Join(err, measure.Pause(ctx, time.Until(u.Began.Add(measure.Window+recovery))))
	var most measure.Memory
	if peak != nil {
		most = peak.Stop()
	}
	if err != nil {
		return err
	}
	latencies.Settled()
	r.Single, r.Peak = append(r.Single, single), append(r.Peak, most)
	r.Gone = append(r.Gone, u.Gone)
	if r.Subject.Name == subject.Kept {
		r.Keeper = append(r.Keeper, measure.MemoryOf(running.Root()).Anonymous)
	}
	return nil
}

// steady leaves the service alone for a while, and sees how much of the machine the load and what serves it take.
func (r *Result) steady(ctx context.Context, running *subject.Running) error {
	pids, err := running.All(true)
	if err != nil {
		return err
	}
	pids = append(pids, os.Getpid())
	began, used := time.Now(), measure.CPU(pids)
	err = measure.Pause(ctx, settle)
	r.Busy = append(r.Busy, float64(measure.CPU(pids)-used)/float64(time.Since(began))/float64(runtime.NumCPU()))
	return err
}

func (r *Result) add(report handovertest.Report, latencies *measure.Latencies) {
	r.Requests += report.Requests
	r.OwnFaults += report.OwnFaults
	for kind, lost := range report.LostByKind {
		if r.Lost[kind] == nil {
			r.Lost[kind] = map[handovertest.Outcome]int{}
		}
		for outcome, n := range lost {
			r.Lost[kind][outcome] += n
		}
	}
	window, steady := latencies.Split()
	r.Window.Merge(window)
	r.Steady.Merge(steady)
}

// switches are those that handover has logged.
type switches struct {
	mu  sync.Mutex
	all []time.Duration
}

func (s *switches) add(line string) {
	var e struct {
		Switch time.Duration `json:"switch"`
	}
	if strings.Contains(line, `"handover final"`) && json.Unmarshal([]byte(line), &e) == nil && e.Switch > 0 {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all = append(s.all, e.Switch)
	}
}

func (s *switches) seen() []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all
}
