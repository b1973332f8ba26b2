package strict_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// familyVariable marks every process of a service under test, as each inherits it from the one before.
const familyVariable = "HANDOVER_STRICT_FAMILY"

// generation is a process of a service under test, whoever started it. When its parent has gone it becomes a child of this
// test, which is a subreaper.
type generation struct {
	pid   int
	pidfd int           // open until gone is closed
	gone  chan struct{} // closed when the process has ended
	how   unix.WaitStatus
	known bool // how is: this test was the parent. Valid, as how is, once gone is closed
}

// observe finds the process, which must live, and waits for its end in the background.
func observe(pid int) (*generation, error) {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("observe process %d: %w", pid, err)
	}
	g := &generation{pid: pid, pidfd: pidfd, gone: make(chan struct{})}
	go func() {
		defer close(g.gone)
		wait := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
		for wait[0].Revents == 0 {
			if _, err := unix.Poll(wait, -1); err != nil && !errors.Is(err, unix.EINTR) {
				return
			}
		}
		g.reap()
	}()
	return g, nil
}

// reap collects the ended process, unless its parent is another: then that has done so, or leaves it to this test when it
// ends.
func (g *generation) reap() {
	for {
		pid, err := unix.Wait4(g.pid, &g.how, unix.WNOHANG, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		g.known = g.known || pid == g.pid
		return
	}
}

// end waits until the process has ended.
func (g *generation) end(ctx context.Context) error {
	select {
	case <-g.gone:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("await the end of process %d: %w", g.pid, ctx.Err())
	}
}

// signal sends a signal to the process, and to no other that may have its number by now.
func (g *generation) signal(s unix.Signal) error {
	if err := unix.PidfdSendSignal(g.pidfd, s, nil, 0); err != nil {
		return fmt.Errorf("signal %s to process %d: %w", s, g.pid, err)
	}
	return nil
}

func (g *generation) close() { _ = unix.Close(g.pidfd) }

// living returns the processes of a family.
func living(family string) ([]int, error) {
	entries, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, entry := range entries {
		if !marked(entry, family) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(entry)))
		if err != nil {
			return nil, err
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

func marked(environ, family string) bool {
	env, err := os.ReadFile(environ)
	return err == nil && strings.Contains("\x00"+string(env), "\x00"+familyVariable+"="+family+"\x00")
}

// killFamily ends what is left of a family. A process's number is worth nothing before its pidfd is open: so it looks at the
// mark once more.
func killFamily(ctx context.Context, family string) error {
	for {
		pids, err := living(family)
		if err != nil || len(pids) == 0 {
			return err
		}
		for _, pid := range pids {
			g, err := observe(pid)
			if err != nil {
				continue // it ended meanwhile
			}
			if marked(fmt.Sprintf("/proc/%d/environ", pid), family) {
				err = g.signal(unix.SIGKILL)
			}
			if err == nil {
				err = g.end(ctx)
			}
			g.close()
			if err != nil {
				return err
			}
		}
	}
}
