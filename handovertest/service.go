package handovertest

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Service says how to run a service. Path and Address are needed.
type Service struct {
	Path string   // of the executable, as from [Build]; it is linked or copied, and never changed
	Args []string // without the program's name
	Env  []string // added to the test's own environment, with $HANDOVERTEST_LEDGER set
	Dir  string   // default: the test's own

	Network string // as in [Load]
	Address string // where it answers; see [FreeAddress]

	ReadyTimeout   time.Duration // from the start to the first answer; default 10 s
	UpgradeTimeout time.Duration // of one upgrade; default 30 s
	StopTimeout    time.Duration // from SIGTERM to the end of the last process; default 10 s

	// Final recognises the line of output that says an upgrade is final;
	// default: the message by which a successor says that it is the incumbent
	// now, "serving: the handover is final". The incumbent before says so
	// earlier, when the next upgrade could not begin yet.
	Final func(line string) bool
	// Who returns the pid of the process that answers a new connection;
	// default: asks [Handler] at /.
	Who func(ctx context.Context) (int, error)
	// Output gets a copy of what the processes write to stdout and stderr. It
	// is written by one goroutine, until the last process has ended.
	Output io.Writer
}

// Running is a service that runs, as one process or, during an upgrade, more.
// Its methods end the test when they fail, and belong to the test's goroutine.
type Running struct {
	t       testing.TB
	service Service
	path    string
	ledger  string
	family  *family
	output  *output
}

// Start starts a service and waits until it answers. At the end of the test it
// is stopped as by [Running.Stop]: a process that is left over fails the test.
func Start(t testing.TB, s Service) *Running {
	t.Helper()
	r := &Running{t: t, service: s.withDefaults(), ledger: t.TempDir()}
	r.path = filepath.Join(t.TempDir(), filepath.Base(s.Path))
	if err := replaceExecutable(s.Path, r.path); err != nil {
		t.Fatalf("start service: %v", err)
	}
	if err := r.start(); err != nil {
		t.Fatalf("start service: %v", err)
	}
	t.Cleanup(r.cleanUp)
	ctx, cancel := context.WithTimeout(t.Context(), r.service.ReadyTimeout)
	defer cancel()
	if _, err := r.answering(ctx, 0); err != nil {
		t.Fatalf("start service: %v\n%s", err, r.output.tail(50))
	}
	return r
}

func (s Service) withDefaults() Service {
	if s.Network == "" {
		s.Network = "tcp"
	}
	if s.ReadyTimeout == 0 {
		s.ReadyTimeout = 10 * time.Second
	}
	if s.UpgradeTimeout == 0 {
		s.UpgradeTimeout = 30 * time.Second
	}
	if s.StopTimeout == 0 {
		s.StopTimeout = 10 * time.Second
	}
	if s.Final == nil {
		s.Final = func(line string) bool {
			return strings.Contains(line, "serving: the handover is final")
		}
	}
	if s.Who == nil {
		s.Who = func(ctx context.Context) (int, error) { return who(ctx, s.Network, s.Address) }
	}
	return s
}

func (r *Running) start() error {
	reading, writing, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd := exec.Command(r.path, r.service.Args...)
	cmd.Dir = r.service.Dir
	cmd.Env = append(append(os.Environ(), r.service.Env...), ledgerEnv+"="+r.ledger)
	cmd.Stdout, cmd.Stderr = writing, writing
	r.family, err = startFamily(cmd)
	writing.Close()
	if err != nil {
		reading.Close()
		return err
	}
	r.output = newOutput(reading)
	var done sync.WaitGroup
	done.Go(func() { r.output.read(r.service.Output) })
	done.Go(func() { _ = cmd.Wait() }) // how it ends is told by what it writes
	r.t.Cleanup(done.Wait)
	return nil
}

// Load returns a load for the service: its address and its ledger, and
// defaults for the rest.
func (r *Running) Load() Load {
	return Load{Network: r.service.Network, Address: r.service.Address, Ledger: r.ledger}
}

// Path is where the service's executable lies.
func (r *Running) Path() string { return r.path }

// Swap puts another build at the service's path, atomically; executable is
// left as it is. Generations that run keep theirs.
func (r *Running) Swap(executable string) {
	r.t.Helper()
	if err := replaceExecutable(executable, r.path); err != nil {
		r.t.Fatalf("swap executable: %v", err)
	}
}

// PID returns the process that answers a new connection now.
func (r *Running) PID() int {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), r.service.ReadyTimeout)
	defer cancel()
	pid, err := r.service.Who(ctx)
	if err != nil {
		r.t.Fatalf("ask who answers: %v\n%s", err, r.output.tail(50))
	}
	return pid
}

// Upgrade upgrades the service n times, each time by SIGUSR2 to the process
// that answers, and waits each time until it is final and another answers.
func (r *Running) Upgrade(n int) {
	r.t.Helper()
	for i := range n {
		if err := r.upgrade(); err != nil {
			r.t.Fatalf("upgrade %d of %d: %v\n%s", i+1, n, err, r.output.tail(50))
		}
	}
}

func (r *Running) upgrade() error {
	ctx, cancel := context.WithTimeout(r.t.Context(), r.service.UpgradeTimeout)
	defer cancel()
	before, err := r.service.Who(ctx)
	if err != nil {
		return err
	}
	final := r.Watch(r.service.Final)
	defer final.Forget()
	if err := r.family.signal(before, sigUpgrade); err != nil {
		return err
	}
	if _, err := final.Line(ctx); err != nil {
		return fmt.Errorf("not final: %w", err)
	}
	_, err = r.answering(ctx, before)
	return err
}

// Watch watches for a line of output that matches, from now on. Call it before
// what causes the line.
func (r *Running) Watch(match func(line string) bool) *Watch {
	return r.output.watch(match)
}

// Output returns the last n lines that the processes wrote.
func (r *Running) Output(n int) string { return r.output.tail(n) }

// Family lists the processes of the service that live, and those that have
// ended without being reaped by a parent that lives.
func (r *Running) Family() []Process {
	r.t.Helper()
	members, err := r.family.processes()
	if err != nil {
		r.t.Fatalf("list family: %v", err)
	}
	return members
}

// AwaitExit waits until that process has ended, for StopTimeout at most.
func (r *Running) AwaitExit(pid int) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), r.service.StopTimeout)
	defer cancel()
	if err := exited(ctx, pid); err != nil {
		r.t.Fatalf("await exit: %v\n%s", err, r.output.tail(50))
	}
}

// OpenFDs returns how many descriptors a process has open.
func OpenFDs(pid int) (int, error) { return openFDs(pid) }

// firstPort and lastPort are where FreeAddress looks: below the ports that Linux gives to clients by default
// (net.ipv4.ip_local_port_range), one of which could have the address before the service does.
const firstPort, lastPort = 20_000, 32_767

// nextPort begins somewhere, because test binaries run side by side.
var nextPort atomic.Uint32

func init() { nextPort.Store(rand.Uint32()) }

// FreeAddress returns a TCP address of 127.0.0.1 that nobody listened on, and that this process gives to nobody else soon.
func FreeAddress(t testing.TB) string {
	t.Helper()
	var err error
	for range lastPort - firstPort {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(int(firstPort+nextPort.Add(1)%(lastPort-firstPort))))
		var ln net.Listener
		if ln, err = net.Listen("tcp", address); err == nil {
			_ = ln.Close()
			return address
		}
	}
	t.Fatalf("find a free address: %v", err)
	return ""
}
