package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// kept is the service under its keeper. All processes write to one pipe, whose end says that the last of them has gone.
type kept struct {
	keeper  *exec.Cmd
	entries chan entry // closed at the end of the pipe

	mu   sync.Mutex
	last []string // the last lines, for whoever has to find out what went wrong
}

const keptLines = 40

// keep runs "handover run", which is this program.
func keep(dir, path, address string, env ...string) (*kept, error) {
	executable, err := os.Executable()
	if err != nil {
		return nil, err
	}
	reading, writing, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start service: %w", err)
	}
	defer writing.Close()
	k := &kept{entries: make(chan entry, 64)}
	k.keeper = exec.Command(executable, "--runtime-dir", filepath.Join(dir, "run"),
		"run", "--name", "demo", "--state-dir", filepath.Join(dir, "state"), "--log-level", "error", "--", path, address)
	k.keeper.Env = append(os.Environ(), env...)
	k.keeper.Stderr = writing
	k.keeper.SysProcAttr = apart
	if err := k.keeper.Start(); err != nil {
		reading.Close()
		return nil, fmt.Errorf("start service: %w", err)
	}
	go k.read(reading)
	return k, nil
}

func (k *kept) read(pipe *os.File) {
	defer close(k.entries)
	defer pipe.Close()
	lines := bufio.NewReader(pipe)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return // nobody is left to write
		}
		k.note(string(line))
		if e, ok := parseEntry(line); ok {
			k.entries <- e
		}
	}
}

// next is the next entry of the log.
func (k *kept) next(ctx context.Context) (entry, error) {
	select {
	case e, ok := <-k.entries:
		if !ok {
			return entry{}, errors.New("every process of the service has ended")
		}
		return e, nil
	case <-ctx.Done():
		return entry{}, context.Cause(ctx)
	}
}

// upgrade asks the keeper for a handover.
func (k *kept) upgrade() error {
	if err := k.keeper.Process.Signal(upgradeSignal); err != nil {
		return fmt.Errorf("send %s to the keeper: %w", upgradeSignal, err)
	}
	return nil
}

// end ends every process, gracefully as long as ctx lasts. The error says that some had to be killed.
func (k *kept) end(ctx context.Context) (err error) {
	_ = k.keeper.Process.Signal(syscall.SIGTERM) // fails if it has gone already
	for {
		select {
		case _, more := <-k.entries:
			if more {
				continue
			}
			return errors.Join(err, k.keeper.Wait())
		case <-ctx.Done():
			err = errors.New("processes of the service were left over, and killed")
			killAll(k.keeper)
			ctx = context.Background() // nothing survives that: the pipe ends
		}
	}
}

func (k *kept) note(line string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.last = append(k.last[max(0, len(k.last)-keptLines+1):], line)
}

// tail is what was logged last.
func (k *kept) tail() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return strings.Join(k.last, "")
}

// kill ends a process by force.
func kill(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Kill()
}
