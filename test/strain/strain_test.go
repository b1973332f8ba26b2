//go:build linux

// Package strain upgrades a service whose network delays what it carries, or whose processor others want as well: its clients lose
// nothing, and wait a little.
package strain

import (
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/rig"
)

// run is a service under load.
type run struct {
	*rig.Run
	t *testing.T
}

// start starts the service, by the executable given if it is none of its own, and drives it at the address that via returns for that of the service.
func start(t *testing.T, by string, via func(address string) string, env ...string) *run {
	t.Helper()
	address := handovertest.FreeAddress(t)
	r := &run{rig.New(t, rig.Patience{Test: 5 * time.Minute}), t}
	r.Start(handovertest.Service{
		Path: by, Address: address, ReadyTimeout: time.Minute, UpgradeTimeout: time.Minute, StopTimeout: time.Minute,
		Env: append([]string{
			"ADDR=" + address, "HANDOVER_PROBATION=100ms", "HANDOVER_CHECK_INTERVAL=50ms", "HANDOVER_DRAIN_TIMEOUT=1m",
		}, env...),
	})
	load := r.Load()
	load.Address = via(address)
	load.Timeout = time.Minute
	load.CountPoliteCloses = true
	r.Drive(load)
	return r
}

// directly is where the service itself answers.
func directly(address string) string { return address }

// attempts asks for n upgrades, and calls meanwhile again and again as each is under way; it returns how many were final. Every other
// has to say why it was taken back.
func (r *run) attempts(n int, meanwhile func()) (final int) {
	r.t.Helper()
	for range n {
		outcome := r.attempt(meanwhile)
		switch reason := reasonOf.FindStringSubmatch(outcome); {
		case strings.Contains(outcome, `msg="serving: the handover is final"`):
			final++
		case reason == nil:
			r.t.Errorf("an upgrade is taken back without a reason: %s", outcome)
		default:
			r.t.Logf("taken back: %s", reason[1])
		}
		r.Answers(50)
	}
	return final
}

var (
	outcomes = regexp.MustCompile(`msg="(serving: the handover is final|handover aborted|successor taken back)`)
	reasonOf = regexp.MustCompile(` (?:reason|error)=("[^"]+"|[^" ]+)`)
)

// attempt asks for one upgrade, and returns the line that says what came of it.
func (r *run) attempt(meanwhile func()) string {
	r.t.Helper()
	outcome := r.Watch(func(line string) bool { return outcomes.MatchString(line) })
	said, failed := make(chan string, 1), make(chan error, 1)
	go func() {
		line, err := outcome.Line(r.Ctx)
		said <- line
		failed <- err
	}()
	r.Signal(r.PID(), syscall.SIGUSR2)
	for {
		select {
		case line := <-said:
			if err := <-failed; err != nil {
				r.t.Fatalf("an upgrade has no outcome: %v\n%s", err, r.Output(60))
			}
			return line
		default:
			meanwhile()
		}
	}
}

// finish ends the load, of which nothing may be lost, and waits until one generation is left.
func (r *run) finish() handovertest.Report {
	r.t.Helper()
	pid := r.PID()
	for _, p := range r.Family() {
		if p.PID != pid {
			r.AwaitExit(p.PID)
		}
	}
	report := r.Finish()
	r.t.Logf("%d requests; latency p50 %s, p99 %s, max %s; longest gap %s; generations %v",
		report.OK, report.Latency.P50, report.Latency.P99, report.Latency.Max, report.LongestGap, report.ByGeneration)
	return report
}
