package strict_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/handover-go/handover/test/strict"
)

// step bounds whatever a service does at once: starting, one handover, one end.
const step = 30 * time.Second

var (
	serving = regexp.MustCompile(`INFO serving generation=1 pid=(\d+)`)
	// outcome is how a handover ended, or that it did not begin.
	outcome = regexp.MustCompile(`INFO (handover final) .*\bgeneration=(\d+) pid=(\d+)|handover aborted.*|successor taken back.*|no handover begins.*|this process ends.*`)
	suspect = regexp.MustCompile(`WARN|ERROR|DATA RACE|panic|fatal|^goroutine `)
)

// service is the program of internal/twelve, and all processes it has ever been.
type service struct {
	t       *testing.T
	program string
	address string
	family  string
	env     []string
	output  *output

	generations []*generation // the last is the one that serves
}

// start runs the first generation until it serves.
func start(t *testing.T, env ...string) *service {
	t.Helper()
	out, err := newOutput()
	if err != nil {
		t.Fatal(err)
	}
	s := &service{t: t, program: build(t), address: freeAddress(t), family: rand.Text(), output: out}
	s.env = append(os.Environ(), "ADDR="+s.address, "HANDOVER_PROBATION=200ms", familyVariable+"="+s.family)
	// A program with the race detector rests for a second after its end, and until then it counts as draining.
	s.env = append(s.env, "GORACE=atexit_sleep_ms=0")
	s.env = append(s.env, env...)
	t.Cleanup(s.clean)
	pid, err := s.launch()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.becomes(pid); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), step)
	defer cancel()
	if _, err := out.next(ctx, serving); err != nil {
		t.Fatalf("%v\n%s", err, out.tail(20))
	}
	return s
}

// launch starts a process of the service by hand.
func (s *service) launch() (pid int, err error) {
	cmd := exec.Command(s.program)
	cmd.Env, cmd.Stdout, cmd.Stderr = s.env, s.output.writer, s.output.writer
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	// Who ends is reaped by number, whether this test started it or not.
	pid = cmd.Process.Pid // Release forgets it
	return pid, cmd.Process.Release()
}

// signalWhoAnswers asks for an upgrade as an operator does.
func (s *service) signalWhoAnswers() error {
	pid, err := strict.Ask(s.address)
	if err != nil {
		return err
	}
	if pid != s.last().pid {
		return fmt.Errorf("process %d answers, while %d should serve", pid, s.last().pid)
	}
	return s.last().signal(unix.SIGUSR2)
}

// awaitFinal waits until the handover under way is final, and follows the service to its next generation.
func (s *service) awaitFinal(ctx context.Context) error {
	m, err := s.output.next(ctx, outcome)
	if err != nil {
		return err
	}
	if m[1] == "" {
		return errors.New(m[0])
	}
	if want := strconv.Itoa(len(s.generations) + 1); m[2] != want {
		return fmt.Errorf("generation %s took over, want %s", m[2], want)
	}
	pid, err := strconv.Atoi(m[3])
	if err != nil {
		return err
	}
	return s.becomes(pid)
}

func (s *service) becomes(pid int) error {
	g, err := observe(pid)
	if err == nil {
		s.generations = append(s.generations, g)
	}
	return err
}

func (s *service) last() *generation { return s.generations[len(s.generations)-1] }

// assertAlone waits until all generations before the last have ended, well, and looks for any other process.
func (s *service) assertAlone() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), step)
	defer cancel()
	for i, g := range s.generations[:len(s.generations)-1] {
		if err := g.end(ctx); err != nil {
			s.t.Fatalf("generation %d: %v\n%s", i+1, err, s.output.tail(20))
		}
		if g.known && (!g.how.Exited() || g.how.ExitStatus() != 0) {
			s.t.Errorf("generation %d (process %d) ended with %#x, want exit 0", i+1, g.pid, uint32(g.how))
		}
	}
	pids, err := living(s.family)
	if err != nil {
		s.t.Fatal(err)
	}
	if !slices.Equal(pids, []int{s.last().pid}) {
		s.t.Errorf("processes %d live, want %d alone", pids, s.last().pid)
	}
}

// assertEnds ends the service, and looks for what it left behind.
func (s *service) assertEnds() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), step)
	defer cancel()
	last := s.last()
	if err := last.signal(unix.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	if err := last.end(ctx); err != nil {
		s.t.Fatalf("%v\n%s", err, s.output.tail(20))
	}
	if !last.known || !last.how.Exited() || last.how.ExitStatus() != 0 {
		s.t.Errorf("process %d, told to end, ended with %#x, want exit 0", last.pid, uint32(last.how))
	}
	if err := s.output.finish(ctx); err != nil {
		s.t.Error(err)
	}
	if pids, err := living(s.family); err != nil || len(pids) > 0 {
		s.t.Errorf("processes %d live after the end of the service: %v", pids, err)
	}
	for _, g := range s.generations {
		if !g.known {
			g.reap() // its parent may have ended without
		}
	}
	if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
		s.t.Errorf("this test has a child left: %d, %v", pid, err)
	}
	if pid, err := strict.Ask(s.address); err == nil {
		s.t.Errorf("process %d answers after the end of the service", pid)
	}
}

// clean ends what is left after a failure.
func (s *service) clean() {
	ctx, cancel := context.WithTimeout(context.Background(), step)
	defer cancel()
	if err := killFamily(ctx, s.family); err != nil {
		s.t.Error(err)
	}
	if err := s.output.finish(ctx); err != nil {
		s.t.Error(err)
	}
	for _, g := range s.generations {
		if err := g.end(ctx); err != nil {
			s.t.Error(err)
		} else if !g.known {
			g.reap() // its parent, killed as well, may not have come to it
		}
		g.close()
	}
}

// build compiles the program, with the race detector if this test has it.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "twelve")
	args := []string{"build", "-o", program}
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "../internal/twelve")...).CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return program
}
