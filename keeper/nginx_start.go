package keeper

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/platform"
)

// beginNginx starts a master while none lives. Workers of one that has died may: they serve until it does.
func (k *Keeper) beginNginx(a *attempt, s stock) {
	a.trial = &trial{}
	held := slices.Clone(k.spare)
	k.launchNginx(a, s, func(ctx context.Context) (*child, error) { return k.startMaster(ctx, s, held) })
}

// succeedNginx has the master that serves start the next one.
func (k *Keeper) succeedNginx(a *attempt, s stock) {
	k.attempts++
	a.trial = &trial{}
	k.timer.Reset(k.config.ReadyTimeout)
	a.vote(k) // what was said until now
	if k.attempt != a {
		k.shelf.drop(s)
		return
	}
	old, output := a.incumbent.process, a.incumbent.output()
	k.launchNginx(a, s, func(ctx context.Context) (*child, error) {
		if err := old.Signal(upgradeSignal); err != nil {
			return nil, err
		}
		c, err := k.awaitMaster(ctx, old, s)
		if err == nil {
			c.output = output // which it has inherited
		}
		return c, err
	})
}

// launchNginx starts a master of a build whose configuration has stood the test.
func (k *Keeper) launchNginx(a *attempt, s stock, start func(ctx context.Context) (*child, error)) {
	k.nginx.launching = true
	k.launchPlain(a, s, func() (*child, *ear, error) {
		k.nginx.turn.Lock()
		defer k.nginx.turn.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), k.config.ReadyTimeout)
		defer cancel()
		if err := k.rehearse(ctx, s); err != nil {
			return nil, nil, err
		}
		c, err := start(ctx)
		return c, nil, err
	})
}

// startMaster starts the first master with the sockets, by another process of this program that ends when there is one: nginx ignores
// SIGUSR2 as long as its first parent lives, as it takes that for the master before it (ngx_signal_handler).
func (k *Keeper) startMaster(ctx context.Context, s stock, held []holding) (*child, error) {
	var files []*os.File
	defer func() {
		for _, f := range files {
			_ = f.Close()
		}
	}()
	var inherited strings.Builder
	for i, h := range held {
		fd, err := platform.Duplicate(h.fd)
		if err != nil {
			return nil, fmt.Errorf("start the service: %w", err)
		}
		files = append(files, os.NewFile(uintptr(fd), h.spec.Key()))
		// A worker that sleeps in accept answers nobody else: nginx sets the mode of sockets that it makes, and of no others.
		if err := makeNonBlocking(h); err != nil {
			k.log.Warn("a socket is given in the mode it has", "listener", h.spec.Key(), "error", err)
		}
		fmt.Fprintf(&inherited, "%d;", firstDescriptor+i)
	}
	stay, leave, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start the service: %w", err)
	}
	defer func() { _ = leave.Close() }()
	files = append(files, stay)
	parent, err := k.spawnToBecome(&exec.Cmd{
		Path: k.nginx.program, Args: append([]string{k.nginx.program}, k.nginx.args...), Dir: k.directory(s.dir), ExtraFiles: files,
		Env: append(k.environment(s), "NGINX="+inherited.String(), midwifeVariable+"="+strconv.Itoa(len(held))),
	}, k.config.Limits)
	if err != nil {
		return nil, fmt.Errorf("start the service: %w", err)
	}
	defer parent.Close()
	c, err := k.awaitMaster(ctx, parent, s)
	_ = leave.Close()
	if _, late := parent.Wait(ctx); late != nil {
		_ = parent.Kill()
		<-parent.done
	}
	if err != nil {
		return nil, fmt.Errorf("start the service: %w", err)
	}
	c.output = parent.output
	return c, nil
}

// awaitMaster waits until a process, or this one once that has ended, is the parent of another master with a worker. What has not
// come that far by the end of ctx is killed.
func (k *Keeper) awaitMaster(ctx context.Context, parent peer.Process, s stock) (*child, error) {
	deadline := time.Now().Add(executeTimeout)
	began := 0 // the process that is on its way
	for pause := firstRecheck; ; pause = min(2*pause, lastRecheck) {
		ended := parent.Ended()
		all := look()
		newcomers := all[parent.PID()]
		if ended {
			newcomers = all[os.Getpid()]
		}
		alive := slices.Contains(newcomers, began)
		for _, pid := range newcomers {
			if works(pid) || k.nursery.knows(pid) {
				continue
			}
			began, alive = pid, true
			if all.serves(pid) {
				return k.takeCharge(pid, s)
			}
		}
		switch {
		case alive:
		case ended:
			how, _ := parent.Wait(ctx)
			return nil, fmt.Errorf("process %d, which was to start it, has ended: %s", parent.PID(), how)
		case began != 0:
			return nil, fmt.Errorf("process %d has ended before it served: see nginx's log of errors", began)
		case time.Now().After(deadline):
			return nil, fmt.Errorf("nothing was executed within %s: see nginx's log of errors", executeTimeout)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			if c, err := k.takeCharge(began, s); err == nil {
				c.discard()
			}
			return nil, fmt.Errorf("process %d has no worker: %w", began, ctx.Err())
		}
	}
}

// executeTimeout is how long a master may take from the signal to the fork.
const executeTimeout = 5 * time.Second

// takeCharge makes a process that another one started the nursery's.
func (k *Keeper) takeCharge(pid int, s stock) (*child, error) {
	proof, err := platform.OpenPidfd(pid)
	if err != nil {
		return nil, err
	}
	if works(pid) {
		_ = proof.Close()
		return nil, fmt.Errorf("process %d is no master", pid)
	}
	c := k.nursery.foster(proof)
	if running, err := os.Stat("/proc/" + strconv.Itoa(pid) + "/exe"); err == nil && s.executable() == s.Origin && !s.same(running) {
		c.discard()
		return nil, fmt.Errorf("%q was replaced while it was being started: try again", s.Origin)
	}
	return c, nil
}
