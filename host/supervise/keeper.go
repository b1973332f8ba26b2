package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/handover-go/handover/host/journal"
	"github.com/handover-go/handover/host/release"
	"github.com/handover-go/handover/host/service"
)

// keepers starts keepers of one service, and finds one that is there.
type keepers struct {
	config *Config
}

// dial reaches whoever answers for the service: its keeper, or a generation whose keeper has died.
func (k *keepers) dial(ctx context.Context) (*service.Client, error) {
	return service.Dial(ctx, k.config.RuntimeDir, k.config.Name)
}

// start starts a keeper in a session of its own. It inherits nothing but a file for what it logs, so that nothing of this
// process's end reaches it. How it ends comes out of ended.
func (k *keepers) start(r release.Release) (p journal.Process, ended <-chan string, err error) {
	c := k.config
	if err := k.makeDirectories(); err != nil {
		return p, nil, err
	}
	log, err := OpenOutput(filepath.Join(c.OutputDir, "keeper.log"), os.O_WRONLY|os.O_APPEND|os.O_CREATE)
	if err != nil {
		return p, nil, fmt.Errorf("open the keeper's log: %w", err)
	}
	defer log.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return p, nil, err
	}
	defer null.Close()
	command, dir := c.program(r)
	cmd := &exec.Cmd{
		Path: c.Keeper[0], Args: k.arguments(command), Env: c.environment(), Dir: dir,
		Stdin: null, Stdout: log, Stderr: log, SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if r.ID != "" {
		cmd.Env = append(cmd.Env, "HANDOVER_RELEASE="+r.Dir)
	}
	if a := c.Account; a != nil {
		cmd.SysProcAttr.Credential = a.credential()
	}
	if c.Cgroup != "" {
		group, err := openCgroup(c.Cgroup)
		if err != nil {
			return p, nil, err
		}
		defer group.Close()
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(group.Fd())
	}
	if err := cmd.Start(); err != nil {
		return p, nil, fmt.Errorf("start a keeper: %w", err)
	}
	end := make(chan string, 1)
	go func() { // it may outlive this process, and is reaped by init then
		how := "exit status 0"
		if err := cmd.Wait(); err != nil {
			how = err.Error()
		}
		end <- how
	}()
	return journal.Process{PID: cmd.Process.Pid, StartTime: startOf(cmd.Process.Pid)}, end, nil
}

// openCgroup opens a control group, and makes it if it is not there. Only one of the second hierarchy can be born into (CLONE_INTO_CGROUP, clone(2)); on
// a host that has the first one alone, or beside it, the same path may be a directory like any other.
func openCgroup(dir string) (*os.File, error) {
	there := dir
	for {
		var system unix.Statfs_t
		err := unix.Statfs(there, &system)
		if errors.Is(err, unix.ENOENT) && there != "/" {
			there = filepath.Dir(there)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look for cgroup %s: %w", dir, err)
		}
		if system.Type != unix.CGROUP2_SUPER_MAGIC {
			return nil, fmt.Errorf("%s is no control group of the second hierarchy (cgroup2): give one, or leave cgroup out", dir)
		}
		break
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make cgroup: %w", err)
	}
	group, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("open cgroup: %w", err)
	}
	return group, nil
}

// arguments of the keeper's command line.
func (k *keepers) arguments(command string) []string {
	c := k.config
	args := append([]string{"handover"}, c.Keeper[1:]...)
	args = append(args, "--runtime-dir", c.RuntimeDir, "run", "--name", c.Name, "--state-dir", c.StateDir, "--log-format", "json")
	if c.Journald {
		args = append(args, "--output", "journald:"+c.Name)
	} else {
		args = append(args, "--output", c.OutputDir)
	}
	for _, l := range c.Limits {
		args = append(args, "--limit", l)
	}
	for _, l := range c.Listen {
		args = append(args, "--listen", l)
	}
	for _, f := range []struct{ flag, value string }{{"strategy", c.Strategy}, {"stop-signal", c.StopSignal}} {
		if f.value != "" {
			args = append(args, "--"+f.flag, f.value)
		}
	}
	args = append(args, c.Health.arguments()...)
	for _, p := range c.passed() {
		args = append(args, "--"+p.flag, p.value)
	}
	return append(append(args, "--", command), c.Args...)
}

// arguments of the keeper's command line. Without a path nothing is asked, and the others mean nothing.
func (h Health) arguments() []string {
	if h.Path == "" {
		return nil
	}
	args := []string{"--health", h.Path}
	if h.TLS {
		args = append(args, "--health-tls")
	}
	if h.Interval > 0 {
		args = append(args, "--health-interval", h.Interval.String())
	}
	if h.Timeout > 0 {
		args = append(args, "--health-timeout", h.Timeout.String())
	}
	if h.Failures > 0 {
		args = append(args, "--health-failures", strconv.Itoa(h.Failures))
	}
	return args
}

// makeDirectories makes those of the service that are the account's own.
func (k *keepers) makeDirectories() error {
	c := k.config
	for dir, mode := range map[string]os.FileMode{c.RuntimeDir: 0o700, c.StateDir: 0o700, c.OutputDir: 0o750} {
		if err := os.MkdirAll(dir, mode); err != nil {
			return fmt.Errorf("make the directories of the service: %w", err)
		}
		if a := c.Account; a != nil {
			if err := os.Chown(dir, int(a.UID), int(a.GID)); err != nil {
				return fmt.Errorf("give the service its directories: %w", err)
			}
		}
	}
	return nil
}

// appear waits until somebody answers for the service, or p has ended, which was started for it: by this process, if ended is not nil.
func (k *keepers) appear(ctx context.Context, p journal.Process, ended <-chan string) (*service.Client, error) {
	for {
		c, err := k.dial(ctx)
		if err == nil || !errors.Is(err, service.ErrNobody) && !errors.Is(err, service.ErrLost) {
			return c, err
		}
		if ended == nil && !alive(p) {
			return nil, fmt.Errorf("keeper %d has ended: %w", p.PID, err)
		}
		select { // inotify would tell of the socket's file, and not of who listens there
		case how := <-ended:
			return nil, fmt.Errorf("keeper %d has ended: %s; see %s", p.PID, how, filepath.Join(k.config.OutputDir, "keeper.log"))
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for keeper %d: %w", p.PID, ctx.Err())
		}
	}
}

// alive reports whether p is still the process that it was.
func alive(p journal.Process) bool {
	return p.PID > 0 && p.StartTime != 0 && startOf(p.PID) == p.StartTime
}

// startOf is when a process was started, in clock ticks since boot: with its number it names a process for good
// (proc_pid_stat(5), field 22). 0 if there is none, or it has ended and was not waited for.
func startOf(pid int) uint64 {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return 0
	}
	stat, err := p.Stat()
	if err != nil || stat.State == "Z" {
		return 0
	}
	return stat.Starttime
}
