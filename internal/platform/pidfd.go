package platform

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// Pidfd is proof of the life and death of one process. Unlike a pid it can never come to mean another process.
//
// It says "dead" only when all threads have ended: by then every descriptor that the process alone held is closed, and
// it will never again read, write or accept. Being a zombie is dead; being stopped or frozen is not.
type Pidfd struct {
	file   *os.File
	fd     int
	pid    int
	turn   chan struct{} // held by the one Wait that may use the file's deadline
	closed atomic.Bool   // the raw connection of a closed os.File does not answer os.ErrClosed
}

// OpenPidfd opens the process that has this pid now, in this PID namespace. The caller makes sure that it is still the
// one meant: a child that is not reaped yet, or a peer whose credentials are checked again afterwards.
func OpenPidfd(pid int) (*Pidfd, error) {
	fd, err := openPidfd(pid)
	if err != nil {
		return nil, fmt.Errorf("open process %d: %w", pid, err)
	}
	return PidfdFromFD(fd)
}

// SelfPidfd opens this process, to be sent to a peer.
func SelfPidfd() (*Pidfd, error) { return OpenPidfd(os.Getpid()) }

// PidfdFromFD takes ownership of a descriptor received from a peer, which must be a pidfd; it is closed on any error.
// Whose it is, only PID and the peer's credentials together tell.
func PidfdFromFD(fd int) (*Pidfd, error) {
	pid, err := preparePidfd(fd)
	if err != nil {
		_ = CloseFD(fd)
		return nil, fmt.Errorf("use descriptor %d as a pidfd: %w", fd, err)
	}
	file := os.NewFile(uintptr(fd), "pidfd")
	// A descriptor that the poller refuses would make Wait block a thread for good.
	if err := file.SetReadDeadline(time.Time{}); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("use descriptor %d as a pidfd: %w", fd, err)
	}
	return &Pidfd{file: file, fd: fd, pid: pid, turn: make(chan struct{}, 1)}, nil
}

// PID is the process's number in this PID namespace, as it was when the Pidfd was made: 0 if the process is not in the
// namespace, -1 if it was dead and reaped by then. Once the process is dead the number may be another's.
func (p *Pidfd) PID() int { return p.pid }

// FD is the descriptor, to be sent to a peer. It stays the Pidfd's and is valid until Close.
func (p *Pidfd) FD() int { return p.fd }

// Dead reports whether the process has ended. A closed Pidfd answers false, as nothing is known then.
func (p *Pidfd) Dead() bool {
	raw, err := p.file.SyscallConn()
	if err != nil {
		return false
	}
	var dead bool
	var unknown error
	err = raw.Control(func(fd uintptr) { dead, unknown = pidfdDead(int(fd)) })
	return err == nil && unknown == nil && dead
}

// Wait returns nil when the process has ended, be it long ago, or an error that wraps ctx.Err() when ctx ends first, or
// os.ErrClosed. It works for any process, reaps none, and blocks no thread. Several may wait.
func (p *Pidfd) Wait(ctx context.Context) error {
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return p.waited(ctx.Err())
	}
	defer func() { <-p.turn }()
	raw, err := p.file.SyscallConn()
	if err != nil {
		return p.waited(err)
	}
	return p.waited(interruptible(ctx, p.file, func() error { return awaitDeath(ctx, raw) }))
}

// askAgain is the time after which a kernel that could not be asked is asked again.
const askAgain = 100 * time.Millisecond

// awaitDeath waits in the poller, which tells of a death once: if the kernel cannot be asked then whether it is one (poll(2) answers
// EINVAL where a limit of no descriptors at all is set), nobody would wake this process again.
func awaitDeath(ctx context.Context, raw syscall.RawConn) error {
	for {
		var dead bool
		var unknown error
		err := raw.Read(func(fd uintptr) bool {
			dead, unknown = pidfdDead(int(fd))
			return dead || unknown != nil
		})
		if err != nil || unknown == nil {
			return err
		}
		again := time.NewTimer(askAgain)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return ctx.Err()
		}
	}
}

// waited lets a death that is a fact win over a ctx that ended meanwhile.
func (p *Pidfd) waited(err error) error {
	if err == nil || p.Dead() {
		return nil
	}
	return p.failed("wait for", err)
}

// Kill sends SIGKILL; nil if the process has ended already. It is dead only when Wait says so. A process of another
// PID namespace cannot be signalled (EINVAL), nor can one of another user (EPERM).
func (p *Pidfd) Kill() error { return p.signal("kill", killSignal) }

// Signal sends a signal; nil if the process has ended already. The errors are those of Kill.
func (p *Pidfd) Signal(signal syscall.Signal) error { return p.signal("signal", int(signal)) }

// Signalable returns nil if Kill could reach the process: it is of this user and in this PID namespace, or dead already.
func (p *Pidfd) Signalable() error { return p.signal("signal", 0) }

func (p *Pidfd) signal(what string, signal int) error {
	raw, err := p.file.SyscallConn()
	if err != nil {
		return p.failed(what, err)
	}
	var fault error
	if err := raw.Control(func(fd uintptr) { fault = pidfdSignal(int(fd), signal) }); err != nil {
		return p.failed(what, err)
	}
	if fault != nil {
		return p.failed(what, fault)
	}
	return nil
}

// Close closes the descriptor; pending Waits return os.ErrClosed.
func (p *Pidfd) Close() error {
	p.closed.Store(true)
	return p.file.Close()
}

func (p *Pidfd) failed(action string, err error) error {
	if p.closed.Load() {
		err = os.ErrClosed
	}
	return fmt.Errorf("%s process %d: %w", action, p.pid, err)
}
