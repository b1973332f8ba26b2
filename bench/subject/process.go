package subject

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Process is one that lives.
type Process struct{ PID, Parent int }

// census finds the processes of some sessions. Everything that a subject starts stays in the session that the subject was started
// in, whoever its parent is by now.
type census struct {
	mu       sync.Mutex
	sessions []int
	known    map[int]bool // those looked at before, and whether they are of the sessions: looking at every process takes long
}

// add has the processes of one more session found.
func (c *census) add(session int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sessions, c.known = append(c.sessions, session), map[int]bool{}
}

// living lists those that live, and reaps orphans, which come to this process.
func (c *census) living() ([]Process, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	self, now := os.Getpid(), map[int]bool{}
	var living []Process
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if ours, ok := c.known[pid]; ok && !ours {
			now[pid] = false
			continue
		}
		p, state, session, err := readStat(pid)
		ours := slices.Contains(c.sessions, session)
		switch {
		case err != nil: // gone meanwhile
			continue
		case !ours && p.Parent == self: // it may not have begun its session
			continue
		case ours && state != "Z":
			living = append(living, p)
		case ours && p.Parent == self && !slices.Contains(c.sessions, pid): // those that this process started are for os/exec
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
		}
		now[pid] = ours
	}
	c.known = now
	return living, nil
}

// kill ends a process by SIGKILL. Its pid could have been given away since it was listed, so it is looked at again through a
// descriptor that cannot.
func (c *census) kill(pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	} else if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, _, session, err := readStat(pid); err != nil || !slices.Contains(c.sessions, session) {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}

// readStat reads what proc_pid_stat(5) says. The command, in parentheses, may hold anything.
func readStat(pid int) (p Process, state string, session int, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return p, "", 0, err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 4 {
		return p, "", 0, fmt.Errorf("stat of process %d: too short", pid)
	}
	parent, err := strconv.Atoi(fields[1])
	session, bad := strconv.Atoi(fields[3])
	return Process{pid, parent}, fields[0], session, errors.Join(err, bad)
}

// Exit tells when a process that lives now has ended; the zero time if that was not before the end of ctx, which is needed.
func Exit(ctx context.Context, pid int) <-chan time.Time {
	told := make(chan time.Time, 1)
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		told <- time.Time{}
		return told
	}
	go func() {
		at, _ := readable(ctx, fd)
		told <- at
	}()
	return told
}

// awaitExits waits until all of these have ended, and returns when the last one did.
func awaitExits(ctx context.Context, pids []int) (time.Time, error) {
	var wait sync.WaitGroup
	ends, errs := make([]time.Time, len(pids)), make([]error, len(pids))
	for i, pid := range pids {
		wait.Go(func() { ends[i], errs[i] = exited(ctx, pid) })
	}
	wait.Wait()
	var last time.Time
	for _, end := range ends {
		if end.After(last) {
			last = end
		}
	}
	return last, errors.Join(errs...)
}

// exited waits for the end of a process by its pidfd, and returns when it was seen.
func exited(ctx context.Context, pid int) (time.Time, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return time.Now(), nil
	} else if err != nil {
		return time.Time{}, fmt.Errorf("open pidfd: %w", err)
	}
	at, err := readable(ctx, fd)
	if err != nil {
		err = fmt.Errorf("await the end of %d: %w", pid, err)
	}
	return at, err
}

// readable waits until a pidfd says that its process has ended, and closes it.
func readable(ctx context.Context, fd int) (time.Time, error) {
	defer func() { _ = unix.Close(fd) }()
	for ctx.Err() == nil {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 50) // a context cannot end it
		if n > 0 {
			return time.Now(), nil
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return time.Time{}, err
		}
	}
	return time.Time{}, ctx.Err()
}

// beSubreaper has orphans come to this process.
var beSubreaper = sync.OnceValue(func() error {
	return os.NewSyscallError("prctl", unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
})
