package handovertest

import (
	"context"
	"syscall"
	"time"
)

// killTimeout bounds what only the kernel can delay.
const killTimeout = 10 * time.Second

// Signal sends a signal to a process of the service, and to no other.
func (r *Running) Signal(pid int, sig syscall.Signal) {
	r.t.Helper()
	if err := r.family.signal(pid, sig); err != nil {
		r.t.Fatalf("%v\n%s", err, r.output.tail(50))
	}
}

// Kill kills a process of the service, waits until it is dead, and returns the
// instant just before the signal was sent, as [Driver.Killed] wants it.
func (r *Running) Kill(pid int) time.Time {
	r.t.Helper()
	at := time.Now()
	r.Signal(pid, syscall.SIGKILL)
	r.AwaitExit(pid)
	return at
}

// KillAll kills every process of the service: nothing is left over then.
func (r *Running) KillAll() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), killTimeout)
	defer cancel()
	if err := r.family.kill(ctx); err != nil {
		r.t.Errorf("kill service: %v", err)
	}
}

// Stop sends SIGTERM to every process of the service, and waits StopTimeout for
// the last to end. Those that are left over fail the test and are killed. So
// does a data race that one of them, built with the race detector, has written of.
func (r *Running) Stop() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), r.service.StopTimeout)
	defer cancel()
	for _, p := range r.Family() {
		// One that has ended meanwhile cannot be told to.
		_ = r.family.signal(p.PID, sigEnd) // it may have ended just now
	}
	if err := r.family.gone(ctx); err == nil {
		r.awaitOutput()
		return
	}
	for _, p := range r.Family() {
		r.t.Errorf("left over %v after SIGTERM: %v", r.service.StopTimeout, p)
	}
	r.KillAll()
}

// cleanUp ends what is left when the test ends.
func (r *Running) cleanUp() {
	if r.t.Failed() {
		r.t.Logf("output of the service:\n%s", r.output.tail(200))
		r.KillAll()
	} else {
		r.Stop()
	}
	r.awaitOutput()
}

// awaitOutput waits until the output of the service ends, as it does with its
// last process, and looks for data races in it.
func (r *Running) awaitOutput() {
	r.t.Helper()
	timer := time.NewTimer(killTimeout)
	defer timer.Stop()
	select {
	case <-r.output.ended:
	case <-timer.C:
		r.t.Errorf("a process that is not of the family holds the output of the service")
		r.output.abandon()
	}
	if r.output.takeRaces() > 0 {
		r.t.Errorf("a data race in the service:\n%s", r.output.tail(200))
	}
}
