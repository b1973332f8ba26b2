package faults

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/control"
)

// A commoner is a user without privileges: root is exempt from the limit on descriptors in flight. This test's own program has two
// more parts to play, each as one.
const (
	serviceVariable = "HANDOVER_TEST_COMMONER" // become this executable
	hoarderVariable = "HANDOVER_TEST_HOARDER"  // keep that many descriptors in flight
)

func TestMain(m *testing.M) {
	if executable := os.Getenv(serviceVariable); executable != "" {
		fail(becomeCommoner(executable))
	}
	if n, err := strconv.Atoi(os.Getenv(hoarderVariable)); err == nil {
		fail(hoard(n))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// descriptorLimit is RLIMIT_NOFILE of a service without privileges: enough for it, its load and its checks.
const descriptorLimit = 128

var commoners atomic.Int32

// newCommoner returns a user of this test's own, so that nobody else's descriptors count. Whoever is not root stays who he is.
func newCommoner() int {
	if uid := os.Geteuid(); uid != 0 {
		return uid
	}
	return 20000 + (os.Getpid()*8+int(commoners.Add(1)))%40000
}

// commoner is a service under load, named, of a user without privileges.
type commoner struct {
	*run
	uid      int
	takeover string // path of the socket
}

// startAsCommoner runs one in which f will strike once. Its address is $address in env.
func startAsCommoner(t *testing.T, f fault, env ...string) *commoner {
	t.Helper()
	r := &commoner{run: newRun(t, handovertest.FreeAddress(t)), uid: newCommoner()}
	must(t, os.Chmod(filepath.Dir(t.TempDir()), 0o755)) // the way to the ledger
	dir := control.Dir(t)
	executable, file, sockets := filepath.Join(dir, "service"), filepath.Join(dir, "fault"), filepath.Join(dir, "run")
	r.takeover = filepath.Join(sockets, "shop.sock")
	must(t, os.Link(build(t, ""), executable))
	must(t, os.WriteFile(file, []byte(f.String()), 0o600))
	for _, path := range []string{executable, file, dir} {
		must(t, os.Chown(path, r.uid, -1))
	}
	self, err := os.Executable()
	must(t, err)
	for i := range env {
		env[i] = strings.ReplaceAll(env[i], "$address", r.address)
	}
	r.launch(handovertest.Service{
		Path: self, Address: r.address, Dir: dir,
		Env: append([]string{
			serviceVariable + "=" + executable, "ADDR=" + r.address, "HANDOVER_FAULT=" + file,
			"HANDOVER_NAME=shop", "HANDOVER_RUNTIME_DIR=" + sockets,
			"HANDOVER_PROBATION=300ms", "HANDOVER_CHECK_INTERVAL=50ms", "HANDOVER_CHECK_TIMEOUT=1s", "HANDOVER_DRAIN_TIMEOUT=20s",
		}, env...),
	})
	load := r.Load()
	load.Clients = crowd
	r.Drive(load)
	return r
}

// becomeCommoner gives up every privilege for those of the executable's owner, and becomes the executable.
func becomeCommoner(executable string) error {
	info, err := os.Stat(executable)
	if err != nil {
		return err
	}
	uid := int(info.Sys().(*syscall.Stat_t).Uid)
	err = os.Chown(os.Getenv("HANDOVERTEST_LEDGER"), uid, -1)
	if os.Geteuid() == 0 {
		err = errors.Join(err, syscall.Setgroups(nil), syscall.Setgid(uid), syscall.Setuid(uid))
	}
	limit := syscall.Rlimit{Cur: descriptorLimit, Max: descriptorLimit}
	err = errors.Join(err, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit), os.Unsetenv(serviceVariable))
	if err != nil {
		return fmt.Errorf("become user %d: %w", uid, err)
	}
	return syscall.Exec(executable, []string{executable}, os.Environ())
}

// hoarder has another process of that user keep more descriptors in flight than the service may have open, until leave.
func (r *commoner) hoarder() (leave func()) {
	r.t.Helper()
	cmd := exec.CommandContext(r.Ctx, "/proc/self/exe")
	cmd.Env = append(os.Environ(), hoarderVariable+"="+strconv.Itoa(descriptorLimit+1), "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(r.uid), Gid: uint32(r.uid)}}
	}
	stdin, err := cmd.StdinPipe()
	must(r.t, err)
	stdout, err := cmd.StdoutPipe()
	must(r.t, err)
	must(r.t, cmd.Start())
	if _, err := io.ReadFull(stdout, make([]byte, 1)); err != nil {
		r.t.Fatalf("nothing is in flight: %v, %v", err, cmd.Wait())
	}
	return func() {
		r.t.Helper()
		must(r.t, stdin.Close())
		must(r.t, cmd.Wait())
	}
}

// hoard sends n descriptors that nobody receives, says so, and goes when nobody listens to it any more.
func hoard(n int) error {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("make a pair: %w", err)
	}
	for range n {
		if err := syscall.Sendmsg(pair[0], []byte{0}, syscall.UnixRights(0), nil, 0); err != nil {
			return fmt.Errorf("put a descriptor in flight: %w", err)
		}
	}
	if _, err := os.Stdout.Write([]byte{0}); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
