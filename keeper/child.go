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

func (n *nursery) add(proof *platform.Pidfd) *child {
	c := &child{proof: proof, pid: proof.PID(), done: make(chan struct{})}
	n.children[c.pid] = c
	return c
}

func (n *nursery) close() {
	signal.Stop(n.signals)
	close(n.signals)
	<-n.done
}

// child is a process that the nursery started.
type child struct {
	proof *platform.Pidfd
	pid   int
	done  chan struct{}
	exit  platform.Exit // valid once done is closed
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
