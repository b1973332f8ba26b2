//go:build debian

package systemd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	bootTimeout = time.Minute
	killTimeout = 10 * time.Second

	// commandTimeout bounds a command inside; the longest is a stop, which has 20 seconds until systemd kills.
	commandTimeout = time.Minute
)

// machine is a systemd that was booted for one test.
type machine struct {
	t       *testing.T
	booted  *exec.Cmd
	ended   context.Context // when booted has
	notify  string          // where it says that it is up
	console bytes.Buffer    // what booting had to say; to be read when it has ended
	root    string          // its files, as they are seen from here
	journal *journal        // of this boot

	whenEnded []func() // waits for what ends with the machine
}

// boot boots a machine and waits until it is up. It ends with the test, or with this process.
func boot(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, notify: filepath.Join(t.TempDir(), "notify")}
	ready := m.listenForReady()
	m.booted = exec.Command(script, "boot", tree(t))
	m.booted.Env = append(os.Environ(), "NOTIFY_SOCKET="+m.notify)
	m.booted.Stdout, m.booted.Stderr = &m.console, &m.console
	m.booted.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var err error
	if m.ended, err = startAndReap(m.booted); err != nil {
		t.Fatalf("boot: %v", err)
	}
	t.Cleanup(func() {
		m.kill()
		for _, wait := range m.whenEnded {
			wait()
		}
	})
	m.awaitUp(ready)
	return m
}

// reboot has systemd end everything and the kernel begin anew: processes, sockets and what lies in /run and /tmp are gone then, and other
// files are as they were written.
func (m *machine) reboot() {
	m.t.Helper()
	// At its end systemd stops every process for a moment, and nsenter then stops itself until it is told to go on. So whatever
	// was started by it from here has to end before.
	m.run("pkill", "journalctl")
	m.journal.close()
	ready := m.listenForReady()
	m.run("systemctl", "--no-block", "reboot")
	m.awaitUp(ready)
}

// awaitUp waits until systemd is up, and follows its journal.
func (m *machine) awaitUp(ready *net.UnixConn) {
	m.t.Helper()
	if err := awaitReady(m.ended, ready); err != nil {
		m.t.Fatalf("boot: %v", err)
	}
	m.root = fmt.Sprintf("/proc/%d/root", m.init())
	m.journal = follow(m.t, m.command(context.Background(), "journalctl", "--follow", "--boot", "--lines=all", "--output=json"))
	m.whenEnded = append(m.whenEnded, m.journal.close)
}

// startAndReap starts cmd from a thread that lives as long as the process does: the death signal is that of a thread's end.
// The context ends with the process.
func startAndReap(cmd *exec.Cmd) (ended context.Context, err error) {
	started := make(chan error)
	ended, end := context.WithCancel(context.Background())
	go func() {
		defer end()
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // it was killed; or systemd ended, and says why
		}
	}()
	return ended, <-started
}

func (m *machine) listenForReady() *net.UnixConn {
	m.t.Helper()
	_ = os.Remove(m.notify) // of the boot before
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: m.notify})
	if err != nil {
		m.t.Fatalf("boot: %v", err)
	}
	return c
}

// awaitReady waits until systemd is up, and closes the socket: systemd goes on to tell how it is, and would stand still if
// nobody took it.
func awaitReady(ended context.Context, c *net.UnixConn) error {
	defer c.Close()
	if err := c.SetReadDeadline(time.Now().Add(bootTimeout)); err != nil {
		return err
	}
	defer context.AfterFunc(ended, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })()
	for message := make([]byte, 4096); ; {
		n, err := c.Read(message)
		if err != nil {
			return err
		}
		if slices.Contains(strings.Split(string(message[:n]), "\n"), "READY=1") {
			return nil
		}
	}
}

// init returns the pid that the machine's process 1 has here, 0 once it is gone: it is the only child of the process that made its
// namespaces, which is the only child of booted.
func (m *machine) init() int {
	pid := m.booted.Process.Pid
	for range 2 {
		children, err := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", pid))
		if err != nil {
			return 0
		}
		if pid, _ = strconv.Atoi(strings.TrimSpace(string(children))); pid == 0 {
			return 0
		}
	}
	return pid
}

// kill ends the machine by its process 1, which the kernel lets go only after every other has gone.
func (m *machine) kill() {
	m.t.Helper()
	if pid := m.init(); pid > 0 {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	} else {
		_ = m.booted.Process.Kill()
	}
	timer := time.NewTimer(killTimeout)
	defer timer.Stop()
	select {
	case <-m.ended.Done():
	case <-timer.C:
		m.t.Errorf("the machine does not end: pid %d", m.booted.Process.Pid)
		return
	}
	if m.t.Failed() {
		m.t.Logf("console: %s", &m.console)
	}
	if err := m.removeCgroup(); err != nil {
		m.t.Errorf("remove the machine's cgroup: %v", err)
	}
}

func (m *machine) removeCgroup() error {
	top := fmt.Sprintf("/sys/fs/cgroup/unified/systemd-root-%d", m.booted.Process.Pid)
	if _, err := os.Stat("/sys/fs/cgroup/unified"); err != nil {
		top = fmt.Sprintf("/sys/fs/cgroup/systemd-root-%d", m.booted.Process.Pid)
	}
	var groups []string
	err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			groups = append(groups, path)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, group := range slices.Backward(groups) {
		err = errors.Join(err, syscall.Rmdir(group))
	}
	return err
}

// command is a command inside the machine, not started yet.
func (m *machine) command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, script, append([]string{"exec", strconv.Itoa(m.booted.Process.Pid)}, args...)...)
}

// run runs a command inside the machine and returns what it wrote.
func (m *machine) run(args ...string) string {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	cmd := m.command(ctx, args...)
	var faults bytes.Buffer
	cmd.Stderr = &faults
	said, err := cmd.Output()
	if err != nil {
		m.t.Fatalf("%s: %v\n%s%s", strings.Join(args, " "), err, said, &faults)
	}
	return strings.TrimSpace(string(said))
}

// write makes a file inside the machine.
func (m *machine) write(path string, content []byte, mode os.FileMode) {
	m.t.Helper()
	path = filepath.Join(m.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, content, mode); err != nil {
		m.t.Fatal(err)
	}
}

// copy makes a file inside the machine that is as the one at from.
func (m *machine) copy(from, to string, mode os.FileMode) {
	m.t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		m.t.Fatal(err)
	}
	m.write(to, content, mode)
}
