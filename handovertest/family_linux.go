package handovertest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

const (
	sigUpgrade = syscall.SIGUSR2
	sigEnd     = syscall.SIGTERM
)

// family finds the processes that descend from one command. A generation's
// parent exits before it, so that descent has to be told otherwise: by the mark
// in the environment, and by the process group, which a zombie still has.
// Orphans come to this process, which is their subreaper, and are reaped here
// one by one: waiting for any child would steal those of os/exec.
type family struct {
	mark   string
	leader int

	mu    sync.Mutex
	known map[identity]bool // seen alive with the mark
}

// identity outlives the reuse of a pid: the start time in clock ticks.
type identity struct {
	pid     int
	started string
}

// stat is what is used of proc_pid_stat(5).
type stat struct {
	identity
	parent, group int
	state         string
}

var beSubreaper = sync.OnceValue(func() error {
	const prSetChildSubreaper = 36 // linux/prctl.h
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prSetChildSubreaper, 1, 0); errno != 0 {
		return fmt.Errorf("become subreaper: %w", errno)
	}
	return nil
})

// startFamily starts cmd as the first of a family.
func startFamily(cmd *exec.Cmd) (*family, error) {
	if err := beSubreaper(); err != nil {
		return nil, err
	}
	f := &family{mark: familyEnv + "=" + rand.Text(), known: map[identity]bool{}}
	cmd.Env = append(cmd.Env, f.mark)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	f.leader = cmd.Process.Pid
	return f, nil
}

// processes lists the living, and the zombies that another process of the
// family should have reaped.
func (f *family) processes() ([]Process, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	entries, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var members []Process
	for _, dir := range entries {
		s, err := readStat(dir)
		if err != nil || !f.holdsLocked(dir, s) {
			continue // gone meanwhile, or not ours
		}
		if s.state == "Z" && s.parent == os.Getpid() {
			if s.pid != f.leader { // the leader is for os/exec to reap
				_, _ = syscall.Wait4(s.pid, nil, syscall.WNOHANG, nil) // its parent may have been first
			}
			continue
		}
		command, _ := os.ReadFile(dir + "/cmdline")
		members = append(members, Process{
			PID: s.pid, Parent: s.parent, State: s.state,
			Command: string(bytes.TrimSpace(bytes.ReplaceAll(command, []byte{0}, []byte{' '}))),
		})
	}
	return members, nil
}

func (f *family) holdsLocked(dir string, s stat) bool {
	if s.group == f.leader || f.known[s.identity] {
		return true
	}
	environ, err := os.ReadFile(dir + "/environ")
	if err != nil {
		return false
	}
	for _, variable := range strings.Split(string(environ), "\x00") {
		if variable == f.mark {
			f.known[s.identity] = true
			return true
		}
	}
	return false
}

// signal sends sig to a process of the family, and to no other.
func (f *family) signal(pid int, sig syscall.Signal) error {
	s, err := readStat("/proc/" + strconv.Itoa(pid))
	if err != nil {
		return fmt.Errorf("signal pid %d: %w", pid, err)
	}
	f.mu.Lock()
	ours := f.holdsLocked("/proc/"+strconv.Itoa(pid), s)
	f.mu.Unlock()
	if !ours {
		return fmt.Errorf("signal pid %d: not of this family", pid)
	}
	if err := syscall.Kill(pid, sig); err != nil {
		return fmt.Errorf("signal pid %d: %w", pid, err)
	}
	return nil
}

// gone waits until the whole family has ended.
func (f *family) gone(ctx context.Context) error {
	for {
		members, err := f.processes()
		if err != nil {
			return err
		}
		living := 0
		for _, p := range members {
			if p.State != "Z" {
				living = p.PID
			}
		}
		if living == 0 {
			return nil
		}
		if err := exited(ctx, living); err != nil {
			return err
		}
	}
}

// kill ends the whole family at once. Those that are born meanwhile die too.
func (f *family) kill(ctx context.Context) error {
	for {
		members, err := f.processes()
		if err != nil {
			return err
		}
		living := 0
		for _, p := range members {
			if p.State != "Z" && f.signal(p.PID, syscall.SIGKILL) == nil {
				living = p.PID
			}
		}
		if living == 0 {
			return nil
		}
		if err := exited(ctx, living); err != nil {
			return err
		}
	}
}

// exited waits until a process has ended; it may be a zombie then.
func exited(ctx context.Context, pid int) error {
	const (
		sysPidfdOpen  = 434 // on every architecture
		pidfdNonblock = syscall.O_NONBLOCK
	)
	fd, _, errno := syscall.Syscall(sysPidfdOpen, uintptr(pid), pidfdNonblock, 0)
	if errno == syscall.ESRCH {
		return nil
	} else if errno != 0 {
		return fmt.Errorf("open pidfd of %d: %w", pid, errno)
	}
	file := os.NewFile(fd, "pidfd")
	defer file.Close()
	raw, err := file.SyscallConn()
	if err != nil {
		return fmt.Errorf("wait for pid %d: %w", pid, err)
	}
	defer context.AfterFunc(ctx, func() { file.SetReadDeadline(time.Unix(1, 0)) })()
	if err := raw.Read(readable); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = ctx.Err()
		}
		return fmt.Errorf("wait for pid %d: %w", pid, err)
	}
	return nil
}

// readable asks without waiting: a pidfd is readable once its process has ended.
func readable(fd uintptr) bool {
	set := struct {
		fd              int32
		events, revents int16
	}{int32(fd), 1 /* POLLIN */, 0}
	var atOnce syscall.Timespec
	n, _, _ := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&set)), 1, uintptr(unsafe.Pointer(&atOnce)), 0, 0, 0)
	return n == 1
}

func readStat(dir string) (stat, error) {
	content, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return stat{}, err
	}
	// The command in parentheses may hold anything; the fields follow the last.
	text := string(content)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 {
		return stat{}, fmt.Errorf("read %s/stat: %q", dir, text)
	}
	s := stat{state: fields[0]}
	s.pid, _ = strconv.Atoi(filepath.Base(dir))
	s.parent, _ = strconv.Atoi(fields[1])
	s.group, _ = strconv.Atoi(fields[2])
	s.started = fields[19]
	return s, nil
}

func openFDs(pid int) (int, error) {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return 0, fmt.Errorf("count descriptors: %w", err)
	}
	return len(entries), nil
}
