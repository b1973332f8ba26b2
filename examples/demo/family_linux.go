package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// family is the service: one process, or during a handover more. They are one process group and write to one pipe, whose
// end says that the last of them has gone. Each generation outlives the one that started it, so that this program, their
// subreaper, becomes the parent of all.
type family struct {
	group   int
	entries chan entry    // closed at the end of the pipe
	reaped  chan struct{} // closed when the first generation has ended

	mu   sync.Mutex
	last []string // the last lines, for whoever has to find out what went wrong
}

const keptLines = 40

// startFamily starts the first generation.
func startFamily(path string, args, env []string) (*family, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become subreaper: %w", err)
	}
	reading, writing, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start service: %w", err)
	}
	defer writing.Close()
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = writing
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		reading.Close()
		return nil, fmt.Errorf("start service: %w", err)
	}
	f := &family{group: cmd.Process.Pid, entries: make(chan entry, 64), reaped: make(chan struct{})}
	go func() {
		defer close(f.reaped)
		_ = cmd.Wait() // with whatever it exits: the log says how it went
	}()
	go f.read(reading)
	return f, nil
}

func (f *family) read(pipe *os.File) {
	defer close(f.entries)
	defer pipe.Close()
	lines := bufio.NewReader(pipe)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return // nobody is left to write
		}
		f.keep(string(line))
		if e, ok := parseEntry(line); ok {
			f.entries <- e
		}
	}
}

// next is the next entry of the log.
func (f *family) next(ctx context.Context) (entry, error) {
	select {
	case e, ok := <-f.entries:
		if !ok {
			return entry{}, errors.New("every process of the service has ended")
		}
		return e, nil
	case <-ctx.Done():
		return entry{}, context.Cause(ctx)
	}
}

// upgrade asks a generation to replace itself.
func (f *family) upgrade(pid int) error {
	if err := unix.Kill(pid, unix.SIGUSR2); err != nil {
		return fmt.Errorf("send SIGUSR2 to pid %d: %w", pid, err)
	}
	return nil
}

// end ends every process, gracefully as long as ctx lasts. The error says that some had to be killed.
func (f *family) end(ctx context.Context) (err error) {
	_ = unix.Kill(-f.group, unix.SIGTERM) // fails if all have gone already
	for {
		select {
		case _, more := <-f.entries:
			if more {
				continue
			}
			<-f.reaped
			f.reap()
			return err
		case <-ctx.Done():
			err = errors.New("processes of the service were left over, and killed")
			_ = unix.Kill(-f.group, unix.SIGKILL)
			ctx = context.Background() // nothing survives that: the pipe ends
		}
	}
}

// reap takes leave of the generations that came here as orphans.
func (f *family) reap() {
	for {
		if _, err := unix.Wait4(-f.group, nil, 0, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return // ECHILD: none is left
		}
	}
}

func (f *family) keep(line string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = append(f.last[max(0, len(f.last)-keptLines+1):], line)
}

// tail is what was logged last.
func (f *family) tail() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.last, "")
}
