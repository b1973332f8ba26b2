package keeper

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"

	"github.com/handover-go/handover/internal/platform"
)

// nursery starts processes and reaps every child of this one: its own, and orphans that became its own.
type nursery struct {
	log     *slog.Logger
	signals chan os.Signal
	done    chan struct{}

	mu       sync.Mutex // held while one is started, so that none is reaped before it is known
	children map[int]*child
	fosters  sync.WaitGroup
}

func newNursery(log *slog.Logger) *nursery {
	n := &nursery{log: log, signals: make(chan os.Signal, 1), done: make(chan struct{}), children: make(map[int]*child)}
	if err := platform.Subreaper(); err != nil {
		log.Warn("orphans of the service go to another parent", "error", err)
	}
	return n
}

// begin reaps from now on.
func (n *nursery) begin() {
	signal.Notify(n.signals, childSignals...)
	go n.run()
}

func (n *nursery) run() {
	defer close(n.done)
	n.reap()
	for range n.signals {
		n.reap()
	}
}

func (n *nursery) reap() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.reapLocked()
}

func (n *nursery) reapLocked() {
	for _, e := range platform.Reap() {
		c := n.children[e.PID]
		if c == nil {
			n.log.Debug("orphan reaped", "pid", e.PID, "how", e.How)
			continue
		}
		delete(n.children, e.PID)
		c.exit = e
		close(c.done)
	}
}

func (n *nursery) start(cmd *exec.Cmd) (*child, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	proof, err := platform.Start(cmd)
	if err != nil {
		return nil, err
	}
	return n.add(proof), nil
}

// adopt takes charge of a child that an earlier program of this process started.
func (n *nursery) adopt(proof *platform.Pidfd) *child {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.add(proof)
}

// foster takes charge of a process that is another's child, and becomes one of this process when that ends. How it ended is known only then.
func (n *nursery) foster(proof *platform.Pidfd) *child {
	n.mu.Lock()
	c := n.add(proof)
	n.mu.Unlock()
	n.fosters.Go(func() {
		_ = proof.Wait(context.Background())
		n.mu.Lock()
		defer n.mu.Unlock()
		n.reapLocked() // it is there to be reaped by now, if by this process
		if n.children[c.pid] == c {
			delete(n.children, c.pid)
			c.exit = platform.Exit{PID: c.pid, How: "the process ended", Failed: true}
			close(c.done)
		}
	})
	return c
}

// knows reports whether a process is in charge of the nursery.
func (n *nursery) knows(pid int) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.children[pid] != nil
}

func (n *nursery) add(proof *platform.Pidfd) *child {
	c := &child{proof: proof, pid: proof.PID(), done: make(chan struct{})}
	n.children[c.pid] = c
	return c
}

func (n *nursery) close() {
	signal.Stop(n.signals)
	close(n.signals)
	<-n.done
	n.fosters.Wait()
}

// child is a process that the nursery started.
type child struct {
	proof *platform.Pidfd
	pid   int
	done  chan struct{}
	exit  platform.Exit // valid once done is closed

	output string // the file that it writes to, if it has one of its own
}

// discard ends a process that nobody was told of.
func (c *child) discard() {
	_ = c.Kill()
	<-c.done
	c.Close()
}

// The methods of peer.Process.

func (c *child) PID() int    { return c.pid }
func (c *child) Kill() error { return c.proof.Kill() }
func (c *child) Close()      { _ = c.proof.Close() }

func (c *child) Signal(s syscall.Signal) error { return c.proof.Signal(s) }

func (c *child) Wait(ctx context.Context) (string, error) {
	select {
	case <-c.done:
		return c.exit.How, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (c *child) Ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

func (c *child) Pidfd() (int, func(), error) { return c.proof.FD(), func() {}, nil }
