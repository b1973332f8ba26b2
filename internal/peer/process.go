package peer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/handover-go/handover/internal/platform"
)

// Process is what can be known of, and done to, another process.
type Process interface {
	// Wait returns when the process has ended, with how it ended, or when ctx does.
	Wait(ctx context.Context) (how string, err error)
	// Signal sends it a signal, unless it has ended.
	Signal(s syscall.Signal) error
	// Kill ends it by force. That it has ended, only Wait tells.
	Kill() error
	PID() int
	// Ended reports whether Wait would return at once.
	Ended() bool
	// Pidfd is a descriptor to send to another process, which can tell by it whether this one lives. It is valid until
	// release.
	Pidfd() (fd int, release func(), err error)
	Close()
}

// Stranger is a process that is not our child. It owns proof.
func Stranger(proof *platform.Pidfd) Process { return &stranger{proof} }

// stranger is a process that is not our child.
type stranger struct{ proof *platform.Pidfd }

func (s *stranger) PID() int                        { return s.proof.PID() }
func (s *stranger) Kill() error                     { return s.proof.Kill() }
func (s *stranger) Signal(sig syscall.Signal) error { return s.proof.Signal(sig) }
func (s *stranger) Ended() bool                     { return s.proof.Dead() }
func (s *stranger) Close()                          { _ = s.proof.Close() }

func (s *stranger) Wait(ctx context.Context) (string, error) {
	return "the process ended", s.proof.Wait(ctx)
}

func (s *stranger) Pidfd() (int, func(), error) { return s.proof.FD(), func() {}, nil }

// Child is a process that this one started. A goroutine, which lives as long as the child does, reaps it.
func Child(proc *os.Process) Process {
	c := &child{proc: proc, done: make(chan struct{})}
	go c.reap()
	return c
}

type child struct {
	proc *os.Process
	done chan struct{}
	how  string // valid once done is closed
}

func (c *child) reap() {
	defer close(c.done)
	state, err := c.proc.Wait()
	// Another process that was sent the pidfd has made it non-blocking, which is shared: a waitid(2) that begins then, or begins again
	// as a signal or a stop of this process has interrupted it, does not wait.
	for errors.Is(err, syscall.EAGAIN) {
		if err = c.awaitDeath(); err == nil {
			state, err = c.proc.Wait()
		}
	}
	if err != nil {
		c.how = fmt.Sprintf("the process ended, how is not known: %v", err)
		return
	}
	c.how = state.String()
}

// awaitDeath waits by means of the poller.
func (c *child) awaitDeath() error {
	fd, _, err := c.Pidfd()
	if err != nil {
		return err
	}
	proof, err := platform.PidfdFromFD(fd)
	if err != nil {
		return err
	}
	defer func() { _ = proof.Close() }()
	return proof.Wait(context.Background()) // as long as the process lives, see Child
}

func (c *child) PID() int { return c.proc.Pid }
func (c *child) Close()   {}

func (c *child) Ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

func (c *child) Wait(ctx context.Context) (string, error) {
	select {
	case <-c.done:
		return c.how, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (c *child) Kill() error { return c.Signal(syscall.SIGKILL) }

func (c *child) Signal(s syscall.Signal) error {
	if err := c.proc.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

func (c *child) Pidfd() (fd int, release func(), err error) {
	if herr := c.proc.WithHandle(func(handle uintptr) { fd, err = platform.Duplicate(int(handle)) }); herr != nil {
		return -1, nil, herr
	}
	return fd, func() { _ = platform.CloseFD(fd) }, err
}
