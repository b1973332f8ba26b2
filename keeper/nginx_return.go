package keeper

import (
	"context"
	"os"
	"syscall"
	"time"

	"github.com/handover-go/handover/internal/platform"
)

// quieten has the workers of a master finish, which stands by from then on: its successor alone takes requests.
func (k *Keeper) quieten(old *generation) {
	if k.nginx == nil {
		return
	}
	if err := old.process.Signal(retireSignal); err != nil {
		k.log.Warn("the master before cannot be told to take no more requests", "pid", old.PID(), "error", err)
	}
}

// wake has a master that stands by take requests again, and goes on when it does: its successor serves until then. Other programs have
// never stopped.
func (k *Keeper) wake(old *generation, goOn func()) {
	if k.nginx == nil {
		goOn()
		return
	}
	if err := old.process.Signal(wakeSignal); err != nil {
		k.log.Warn("the master before cannot be told to take requests again", "pid", old.PID(), "error", err)
	}
	pid := old.PID()
	k.background(k.door.ctx, func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, wakeTimeout)
		defer cancel()
		for pause := firstRecheck; !look().serves(pid); pause = min(2*pause, lastRecheck) {
			select {
			case <-time.After(pause):
				continue
			case <-ctx.Done():
				k.log.Warn("the master before has no workers yet", "pid", pid, "timeout", wakeTimeout)
			}
			break
		}
		k.post(goOn)
	})
}

// wakeTimeout bounds the time from SIGHUP to the first worker.
const wakeTimeout = 5 * time.Second

// relieve has workers of nginx finish whose master was killed: they have taken requests without one, so that nobody had to wait, and nobody
// else would ever end them.
func (k *Keeper) relieve() {
	if k.nginx == nil {
		return
	}
	for _, proof := range orphans() {
		k.log.Info("a worker whose master was killed is told to end", "pid", proof.PID(), "timeout", k.config.DrainTimeout)
		if err := proof.Signal(syscall.SIGQUIT); err != nil {
			k.log.Warn("a worker cannot be told to end", "pid", proof.PID(), "error", err)
		}
		k.background(k.door.ctx, func(ctx context.Context) { // which ends with the keeper
			defer func() { _ = proof.Close() }()
			ctx, cancel := context.WithTimeout(ctx, k.config.DrainTimeout)
			defer cancel()
			if proof.Wait(ctx) != nil {
				_ = proof.Kill()
			}
		})
	}
}

// killOrphans kills what relieve would have finish.
func (k *Keeper) killOrphans() {
	if k.nginx == nil {
		return
	}
	for _, proof := range orphans() {
		_ = proof.Kill()
		_ = proof.Close()
	}
}

// orphans are the workers that are children of this process: none is started by any but its master. The caller closes them.
func orphans() (all []*platform.Pidfd) {
	for _, pid := range look()[os.Getpid()] {
		if !works(pid) {
			continue
		}
		proof, err := platform.OpenPidfd(pid)
		if err != nil {
			continue
		}
		if parent(pid) == os.Getpid() && works(pid) { // else it was another before it was opened
			all = append(all, proof)
		} else {
			_ = proof.Close()
		}
	}
	return all
}

// works reports whether a process is a worker, or was, and no master.
func works(pid int) bool {
	r := roleOf(titleOf(pid))
	return r == worker || r == retired
}
