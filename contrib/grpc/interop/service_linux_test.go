// Package interop replaces the service of grpc-go's interoperability tests, as real processes, while grpc-go's client calls
// it in every way it knows.
package interop

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"github.com/handover-go/handover/handovertest"
)

// patience bounds what a test waits for in all.
const patience = 5 * time.Minute

// Messages of the library that tests wait for.
const (
	aborted   = `msg="handover aborted: this generation serves on"`
	proving   = `msg="serving on probation"`
	resumed   = `msg="successor taken back: this generation serves again"`
	leaving   = ` to=draining` // said before FINAL is sent; "handover final" comes when all has begun
	succeeded = `msg="serving: the handover is final"`
	cut       = `msg="drain deadline: connections closed"`
)

// upgrades is how many handovers a test under load does.
func upgrades() int {
	if os.Getenv("HANDOVER_COUNT") == "full" {
		return 100
	}
	return 10
}

// service is the interop service under test.
type service struct {
	*handovertest.Running
	t       *testing.T
	ctx     context.Context
	address string
	creds   credentials.TransportCredentials
}

func start(t *testing.T, env ...string) *service {
	t.Helper()
	return startWith(t, insecure.NewCredentials(), env...)
}

func startWith(t *testing.T, creds credentials.TransportCredentials, env ...string) *service {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	s := &service{t: t, ctx: ctx, address: handovertest.FreeAddress(t), creds: creds}
	s.Running = handovertest.Start(t, handovertest.Service{
		Path: handovertest.Build(t, "./service"), Address: s.address, Who: s.who,
		ReadyTimeout: time.Minute, UpgradeTimeout: time.Minute, StopTimeout: time.Minute,
		Env: append([]string{
			"ADDR=" + s.address, "HANDOVER_PROBATION=200ms", "HANDOVER_DRAIN_TIMEOUT=1m",
			"GORACE=atexit_sleep_ms=0", // else each process takes a second to leave
		}, env...),
	})
	return s
}

// connect makes a default client.
func (s *service) connect(options ...grpc.DialOption) *grpc.ClientConn {
	s.t.Helper()
	cc, err := grpc.NewClient(s.address, append([]grpc.DialOption{grpc.WithTransportCredentials(s.creds)}, options...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { cc.Close() })
	return cc
}

// who asks on a new connection which process answers.
func (s *service) who(ctx context.Context) (int, error) {
	cc, err := grpc.NewClient(s.address, grpc.WithTransportCredentials(s.creds))
	if err != nil {
		return 0, err
	}
	defer cc.Close()
	return by(ctx, cc)
}

// by asks which process answers a call.
func by(ctx context.Context, cc *grpc.ClientConn) (pid int, err error) {
	var header metadata.MD
	if _, err := testgrpc.NewTestServiceClient(cc).EmptyCall(ctx, &testgrpc.Empty{}, grpc.Header(&header)); err != nil {
		return 0, err
	}
	return pidIn(header)
}

func pidIn(header metadata.MD) (int, error) {
	if pid := header.Get("pid"); len(pid) == 1 {
		return strconv.Atoi(pid[0])
	}
	return 0, errors.New("the answer does not say who")
}

// answered calls, and wants an answer of that process.
func (s *service) answered(cc *grpc.ClientConn, want int) {
	s.t.Helper()
	if got, err := by(s.ctx, cc); err != nil || got != want {
		s.t.Fatalf("call answered by process %d, %v; want %d\n%s", got, err, want, s.Output(60))
	}
}

// leaves waits until a client that has made its last call has been told to leave.
func (s *service) leaves(cc *grpc.ClientConn) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, 30*time.Second) // a handshake that never ends would take two minutes
	defer cancel()
	if !cc.WaitForStateChange(ctx, connectivity.Ready) {
		s.t.Fatalf("the client was not told to leave\n%s", s.Output(60))
	}
}

// says watches for a line of output.
func (s *service) says(text string) *handovertest.Watch {
	return s.Watch(func(line string) bool { return strings.Contains(line, text) })
}

// line waits for the line of a watch.
func (s *service) line(w *handovertest.Watch) string {
	s.t.Helper()
	line, err := w.Line(s.ctx)
	if err != nil {
		s.t.Fatalf("%v\n%s", err, s.Output(60))
	}
	return line
}

// load is grpc-go's client, in a process of its own.
type load struct {
	s      *service
	stdin  io.Closer
	output *bufio.Reader
	errors *strings.Builder
	cmd    *exec.Cmd
	ended  bool
}

// drive starts the client, and waits until each kind of call has succeeded once.
func (s *service) drive(args ...string) *load {
	s.t.Helper()
	l := &load{s: s, errors: new(strings.Builder)}
	l.cmd = exec.CommandContext(s.ctx, handovertest.Build(s.t, "./client"), append([]string{"-addr", s.address}, args...)...)
	l.cmd.Stderr = l.errors
	stdin, err := l.cmd.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	stdout, err := l.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	l.stdin, l.output = stdin, bufio.NewReader(stdout)
	if err := l.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if !l.ended {
			_ = l.cmd.Process.Kill()
			_ = l.cmd.Wait()
		}
	})
	l.says("every kind has succeeded")
	return l
}

// answered waits until another generation than those before has answered a call.
func (l *load) answered() {
	l.s.t.Helper()
	l.says("answered by generation ")
}

// says waits until the client says a line that begins like that.
func (l *load) says(beginning string) (line string) {
	l.s.t.Helper()
	for !strings.HasPrefix(line, beginning) {
		var err error
		if line, err = l.output.ReadString('\n'); err != nil {
			l.failed(err)
		}
	}
	return line
}

// report is what the client has counted.
type report struct {
	Calls       map[string]int // of each kind
	Generations map[string]int // how many each has answered
}

// stop ends the load, which has met no error, and wants calls answered by at least that many generations.
func (l *load) stop(generations int) report {
	l.s.t.Helper()
	_ = l.stdin.Close()
	var r report
	if err := json.Unmarshal([]byte(l.says("{")), &r); err != nil {
		l.failed(err)
	}
	l.ended = true
	if err := l.cmd.Wait(); err != nil || l.errors.Len() > 0 {
		l.s.t.Fatalf("the client failed: %v\n%s", err, l.errors)
	}
	if len(r.Generations) < generations {
		l.s.t.Errorf("answers by %d generations, want %d: %v", len(r.Generations), generations, r.Generations)
	}
	total := 0
	for _, n := range r.Calls {
		total += n
	}
	l.s.t.Logf("%d calls of %d kinds, answered by %d generations: %v", total, len(r.Calls), len(r.Generations), r.Calls)
	return r
}

// failed ends the test with what the client has said.
func (l *load) failed(err error) {
	l.s.t.Helper()
	l.ended = true
	_ = l.stdin.Close()
	l.s.t.Fatalf("the client failed: %v\n%s", errors.Join(err, l.cmd.Wait()), l.errors)
}
