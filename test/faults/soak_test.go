//go:build linux

package faults

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
)

// TestSoak runs rounds of all of it at random, see choices: for HANDOVER_SOAK_TIME, or else a few. HANDOVER_SEED repeats a run, with HANDOVER_SOAK_ROUND one round of it.
func TestSoak(t *testing.T) {
	t.Parallel()
	s := &soak{t: t, began: time.Now(), paths: map[string]string{}, held: map[string]int{}, counts: map[string]int{}, seed: seed(t)}
	s.build("") // the others are made of this one
	if n, err := strconv.Atoi(os.Getenv("HANDOVER_SOAK_ROUND")); err == nil {
		s.round(n)
		return
	}
	span, err := time.ParseDuration(os.Getenv("HANDOVER_SOAK_TIME"))
	if err != nil {
		for n := range 2 {
			s.round(n)
		}
		t.Log(s.summary())
		return
	}
	s.last = s.began.Add(span)
	over := make(chan struct{})
	var all, reports sync.WaitGroup
	reports.Go(func() { s.report(over) })
	for range sideBySide {
		all.Go(s.rounds)
	}
	all.Wait()
	close(over)
	reports.Wait()
	t.Log(s.summary())
	if path := os.Getenv("HANDOVER_SOAK_SUMMARY"); path != "" {
		must(t, os.WriteFile(path, []byte(s.summary()+"\n"), 0o644))
	}
}

// sideBySide is how many rounds run at a time: each mostly waits.
const sideBySide = 2

// seed is that of HANDOVER_SEED, or else a new one, which is said.
func seed(t *testing.T) uint64 {
	t.Helper()
	seed, err := strconv.ParseUint(os.Getenv("HANDOVER_SEED"), 10, 64)
	if err != nil {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	return seed
}

// soak is a run of many rounds.
type soak struct {
	t     *testing.T
	seed  uint64
	began time.Time
	last  time.Time // when the last round may begin

	mu       sync.Mutex
	paths    map[string]string // of builds, by flaw
	held     map[string]int    // descriptors of a generation that is left alone, by topology
	begun    int               // rounds
	ended    int
	upgrades int
	requests int
	lost     int
	counts   map[string]int // strikes, by kind
	failed   bool
}

// build returns the path of a build that all rounds share: of the service, with the flaw that is named, or of the keeper.
func (s *soak) build(flaw string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paths[flaw] == "" && flaw == "keeper" {
		s.paths[flaw] = handovertest.Build(s.t, "../keeper/keep", "-tags", "handoverfault")
	} else if s.paths[flaw] == "" {
		s.paths[flaw] = build(s.t, flaw)
	}
	return s.paths[flaw]
}

// rounds runs one after the other, until the time is over or one fails.
func (s *soak) rounds() {
	for {
		s.mu.Lock()
		n := s.begun
		if s.failed || time.Now().After(s.last) {
			s.mu.Unlock()
			return
		}
		s.begun++
		s.mu.Unlock()
		s.round(n)
	}
}

func (s *soak) round(n int) {
	c := choose(s.seed, n)
	good := s.t.Run(fmt.Sprint("round ", n), func(t *testing.T) {
		defer func() {
			if t.Failed() {
				t.Logf("round %d of seed %d: %s\nrepeat it by\ncd test && HANDOVER_SEED=%d HANDOVER_SOAK_ROUND=%d go test -race -count=1 -v -run TestSoak ./faults",
					n, s.seed, c, s.seed, n)
			}
		}()
		most := s.baseline(t, c.topology)
		r := begin(t, c, s.build, nil)
		report := r.run()
		r.tidy(most)
		s.add(r, report)
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended++
	s.failed = s.failed || !good
}

// baseline is how many descriptors a generation holds that is left alone, the first or a later one: the first round of a topology
// looks.
func (s *soak) baseline(t *testing.T, topology string) int {
	t.Helper()
	s.mu.Lock()
	most, known := s.held[topology], s.held[topology] > 0
	s.mu.Unlock()
	if known {
		return most
	}
	r := begin(t, choices{topology: topology, probation: probationOfGood}, s.build, nil)
	r.sessions.end()
	for _, session := range r.sessions.all {
		session.Close()
	}
	r.packets.end(0)
	for range 2 {
		same := 0
		for last := 0; same < 10; {
			<-time.After(20 * time.Millisecond)
			if now := r.held(); now != last {
				last, same = now, 0
			}
			same++
		}
		most = max(most, r.held())
		r.next()
	}
	r.output.Close() // Stop waits until nobody has it
	r.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[topology] = most
	return most
}

func (s *soak) add(r *round, report handovertest.Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.upgrades += r.upgrades
	s.requests += report.OK
	s.lost += report.LostInCrash + report.Unwritten + report.Failed + report.Closed
	for _, step := range r.choices.steps {
		s.counts[step.kind()]++
	}
	for what, n := range r.counts {
		s.counts[what] += n
	}
}

// report says every minute how it goes.
func (s *soak) report(over <-chan struct{}) {
	minute := time.NewTicker(time.Minute)
	defer minute.Stop()
	for {
		select {
		case <-minute.C:
			var memory runtime.MemStats
			runtime.ReadMemStats(&memory)
			s.t.Logf("after %s: %s; the test has %d MB and %d goroutines", time.Since(s.began).Round(time.Second), s.summary(), memory.HeapInuse>>20, runtime.NumGoroutine())
		case <-over:
			return
		}
	}
}

func (s *soak) summary() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var kinds []string
	for _, kind := range slices.Sorted(maps.Keys(s.counts)) {
		kinds = append(kinds, fmt.Sprint(kind, " ", s.counts[kind]))
	}
	return fmt.Sprintf("%d rounds, %d upgrades, %d requests, %d lost with who was killed; strikes: %s", s.ended, s.upgrades, s.requests, s.lost, strings.Join(kinds, ", "))
}
