//go:build linux

package strain

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/handover-go/handover/test/internal/rig"
)

// This test's own program has more parts to play.
const (
	pinnedVariable = "HANDOVER_TEST_PINNED" // become this executable, on one processor, which others may have first
	spinsVariable  = "HANDOVER_TEST_SPINS"  // keep that processor busy, until the end of the input
)

func TestMain(m *testing.M) {
	if executable := os.Getenv(pinnedVariable); executable != "" {
		fmt.Fprintln(os.Stderr, becomePinned(executable))
		os.Exit(1)
	}
	if os.Getenv(spinsVariable) != "" {
		if err := pin(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			os.Exit(0)
		}()
		for { //nolint:staticcheck // SA5002: it is to spin
		}
	}
	os.Exit(m.Run())
}

// TestUpgradesOfAServiceThatIsStarvedLoseNothing: two programs that never wait want its only processor, and each is given ten times as
// much of it as a thread of the service.
func TestUpgradesOfAServiceThatIsStarvedLoseNothing(t *testing.T) {
	const upgrades = 6
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, self, directly, pinnedVariable+"="+rig.Build(t, ""))
	end := spinners(t, self, 2)
	var waited time.Duration
	final := 0
	for range upgrades {
		leaves := r.PID()
		var most time.Duration
		sample := func() { most = max(most, waitedForProcessor(leaves)) } // again and again, as it may end soon
		final += r.attempts(1, func() { sample(); r.pause(10 * time.Millisecond)() })
		sample()
		waited += most
	}
	end()
	t.Logf("%d of %d upgrades were final; who was to leave had waited %s for the processor", final, upgrades, waited)
	if final == 0 || waited < time.Second {
		t.Errorf("%d of %d upgrades were final, and processes waited %s for the processor: they were not starved, or to death", final, upgrades, waited)
	}
	r.finish()
}

// TestUpgradesOfAServiceThatIsStoppedAgainAndAgainLoseNothing: each of its generations stands still for 5 to 20 ms, goes on for as long,
// and so on, at moments of its own.
func TestUpgradesOfAServiceThatIsStoppedAgainAndAgainLoseNothing(t *testing.T) {
	t.Parallel()
	const atOnce, enough, most = 10, 50, 4
	r := start(t, rig.Build(t, ""), directly)
	final, upgrades, stops := 0, 0, 0
	for stops < enough && upgrades < most*atOnce { // on a busy machine an upgrade is through with fewer stops
		upgrades += atOnce
		final += r.attempts(atOnce, func() {
			for _, p := range r.Family() {
				if rand.IntN(2) == 0 {
					stops += r.stop(p.PID)
				}
			}
			r.pulse()
		})
	}
	t.Logf("%d of %d upgrades were final; processes were stopped %d times", final, upgrades, stops)
	if final == 0 || stops < enough {
		t.Errorf("%d of %d upgrades were final, with %d stops", final, upgrades, stops)
	}
	r.finish()
}

// stop has a process of the service, which may just have ended, stand still for a pulse, and returns how many did.
func (r *run) stop(pid int) int {
	r.t.Helper()
	p, err := os.FindProcess(pid) // the process itself, whoever has its number later
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = p.Release() }()
	if err := p.Signal(syscall.SIGSTOP); errors.Is(err, os.ErrProcessDone) {
		return 0
	} else if err != nil {
		r.t.Fatalf("stop process %d: %v", pid, err)
	}
	r.pulse()
	if err := p.Signal(syscall.SIGCONT); err != nil {
		r.t.Fatalf("continue process %d: %v", pid, err)
	}
	return 1
}

// pulse waits for 5 to 20 ms.
func (r *run) pulse() {
	r.pause(5*time.Millisecond + time.Duration(rand.Int64N(int64(15*time.Millisecond))))()
}

// becomePinned becomes the executable on one processor, with a tenth of the weight of what competes for it (sched(7): 1.25 for each
// step of nice). Either is a thread's, and that of the program which it executes.
func becomePinned(executable string) error {
	runtime.LockOSThread()
	const nice = 10
	if err := errors.Join(pin(), syscall.Setpriority(syscall.PRIO_PROCESS, 0, nice), os.Unsetenv(pinnedVariable)); err != nil {
		return fmt.Errorf("pin %s: %w", executable, err)
	}
	return fmt.Errorf("become %s: %w", executable, syscall.Exec(executable, []string{executable}, os.Environ()))
}

// pin keeps this thread to the first processor that it may use.
func pin() error {
	runtime.LockOSThread()
	var may, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &may); err != nil {
		return fmt.Errorf("get affinity: %w", err)
	}
	const most = 1024 // CPU_SETSIZE of sched.h
	for cpu := range most {
		if may.IsSet(cpu) {
			one.Set(cpu)
			return os.NewSyscallError("sched_setaffinity", unix.SchedSetaffinity(0, &one))
		}
	}
	return errors.New("no processor")
}

// spinners starts programs that keep the processor busy until end is called; they do not outlive this test's.
func spinners(t *testing.T, self string, n int) (end func()) {
	t.Helper()
	var ends []func()
	for range n {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), spinsVariable+"=1", "GORACE=atexit_sleep_ms=0")
		cmd.Stderr = os.Stderr
		stdin, err := cmd.StdinPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		ended := false
		ends = append(ends, func() {
			if ended {
				return
			}
			ended = true
			stdin.Close()
			if err := cmd.Wait(); err != nil {
				t.Errorf("a program that spins: %v", err)
			}
		})
		t.Cleanup(ends[len(ends)-1])
	}
	return func() {
		for _, end := range ends {
			end()
		}
	}
}

// waitedForProcessor is how long the threads of a process, if it has not ended, could have run and did not (the kernel's
// Documentation/scheduler/sched-stats.rst).
func waitedForProcessor(pid int) (total time.Duration) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid)) // the pattern is a good one
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		if fields := strings.Fields(string(text)); len(fields) == 3 {
			waited, _ := strconv.ParseInt(fields[1], 10, 64)
			total += time.Duration(waited)
		}
	}
	return total
}
