//go:build linux

package traffic

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/rig"
)

// startUnix starts the service at a unix socket, under load.
func startUnix(t *testing.T, address string, env ...string) *service {
	t.Helper()
	s := startBuild(t, rig.Build(t, ""), "unix", address, env...)
	load := s.Load()
	load.Clients = handovertest.Clients{KeepAlive: 4, New: 4, Slow: 1, Upload: 1, Pipelined: 1}
	s.Drive(load)
	return s
}

// abstract is a name that nobody else has.
func abstract(t *testing.T, what string) string {
	return fmt.Sprintf("@%s-%d-%s", t.Name(), os.Getpid(), what)
}

// TestUnixSocketKeepsModeAndOwner across upgrades: they are given to the path once the service is there, to let others in.
func TestUnixSocketKeepsModeAndOwner(t *testing.T) {
	t.Parallel()
	packets := filepath.Join(t.TempDir(), "packets")
	s := startUnix(t, filepath.Join(t.TempDir(), "stream"), "PACKETS=unixgram:"+packets)
	owner := os.Geteuid()
	if owner == 0 {
		owner = 54321
	}
	look := func(path string) string {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		stat := info.Sys().(*syscall.Stat_t)
		return fmt.Sprintf("inode %d, mode %s, owner %d, group %d", stat.Ino, info.Mode(), stat.Uid, stat.Gid)
	}
	before := map[string]string{}
	for i, path := range []string{s.address, packets} {
		if err := os.Chown(path, owner, -1); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, os.FileMode(0o620+i)); err != nil {
			t.Fatal(err)
		}
		before[path] = look(path)
	}
	for range 5 {
		s.Replaced()
	}
	for path, was := range before {
		if is := look(path); is != was {
			t.Errorf("%s was %s, and is %s", path, was, is)
		}
	}
	s.Finish()
}

// TestAbstractNamesAreServedAcrossUpgrades, of streams and of datagrams; no file is made for them.
func TestAbstractNamesAreServedAcrossUpgrades(t *testing.T) {
	t.Parallel()
	const upgrades = 5
	stream, packets := abstract(t, "stream"), abstract(t, "packets")
	s := startUnix(t, stream, "PACKETS=unixgram:"+packets)
	gram := newSender(t, "unixgram", packets)
	gram.begin()
	gram.answeredBy(s.PID())
	for range upgrades {
		gram.answeredBy(s.Next())
	}
	if lost := gram.finish(patience); lost != 0 || len(gram.byPID) != upgrades+1 {
		t.Errorf("%d datagrams lost, %d generations answered", lost, len(gram.byPID))
	}
	s.Finish()
	s.Stop()
	for _, name := range []string{stream, packets} {
		if _, err := os.Lstat(name); !os.IsNotExist(err) {
			t.Errorf("there is a file %s: %v", name, err)
		}
	}
}

// TestPathOfAKilledServiceIsBoundByTheNext, which others then succeed.
func TestPathOfAKilledServiceIsBoundByTheNext(t *testing.T) {
	t.Parallel()
	path, packets := filepath.Join(t.TempDir(), "stream"), filepath.Join(t.TempDir(), "packets")
	killed := startBuild(t, rig.Build(t, ""), "unix", path, "PACKETS=unixgram:"+packets)
	pid := killed.PID()
	killed.Signal(pid, syscall.SIGKILL)
	killed.AwaitExit(pid)
	for _, left := range []string{path, packets} {
		if _, err := os.Lstat(left); err != nil {
			t.Fatalf("nothing is left behind: %v", err)
		}
	}
	s := startUnix(t, path, "PACKETS=unixgram:"+packets)
	gram := newSender(t, "unixgram", packets)
	gram.begin()
	gram.answeredBy(s.Next())
	if lost := gram.finish(patience); lost != 0 {
		t.Errorf("%d datagrams lost", lost)
	}
	s.Finish()
}

// TestUnixAddressThatTheKernelCannotHoldIsRefused, with what is wrong with which, and what to do. One byte less is served.
func TestUnixAddressThatTheKernelCannotHoldIsRefused(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "run-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, strings.Repeat("d", 107-len(dir)-1))
	name := abstract(t, "")
	name += strings.Repeat("n", 108-len(name))
	for _, address := range []string{path, name} {
		s := startUnix(t, address)
		s.Next()
		s.Finish()
	}
	executable := rig.Build(t, "")
	for _, wrong := range []struct{ env, what string }{
		{"ADDR=" + path + "d", fmt.Sprintf("listen unix %q: invalid argument: the path has 108 bytes, at most 107: choose a shorter one", path+"d")},
		{"PACKETS=unixgram:" + path + "d", fmt.Sprintf("listen unixgram %q: invalid argument: the path has 108 bytes", path+"d")},
		{"ADDR=" + name + "n", fmt.Sprintf("listen unix %q: invalid argument: the abstract name has 108 bytes, at most 107", name+"n")},
	} {
		cmd := exec.CommandContext(t.Context(), executable)
		cmd.Env = append(os.Environ(), "ADDR=127.0.0.1:0", wrong.env)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(strings.ReplaceAll(string(out), `\"`, `"`), wrong.what) {
			t.Errorf("%s: %v, and says\n%s\nwant %s", wrong.env, err, out, wrong.what)
		}
	}
}
