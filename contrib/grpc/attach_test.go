package handovergrpc_test

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthgrpc "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/handover-go/handover"
	handovergrpc "github.com/handover-go/handover/contrib/grpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds what is waited for.
const patience = time.Minute

func TestServerThatTheProgramStopsEndsTheService(t *testing.T) {
	for _, before := range []bool{true, false} {
		s := prepare(t)
		s.attach(s.ln)
		if before {
			s.server.Stop()
		}
		s.run()
		if !before {
			s.healthy(s.connect())
			s.server.Stop()
		}
		if err := s.ended(); !errors.Is(err, grpc.ErrServerStopped) || !strings.Contains(err.Error(), "serve gRPC on "+s.ln.Addr().String()) {
			t.Errorf("stopped before Run: %t: Run returns %v", before, err)
		}
	}
}

// When Accept fails, what is in flight is finished all the same.
func TestListenerThatFailsEndsTheServiceAndLosesNoCall(t *testing.T) {
	s := prepare(t)
	ln := &failing{Listener: s.ln, fail: make(chan struct{})}
	s.attach(ln)
	s.run()
	client := s.connect()
	s.healthy(client)
	watch, err := healthgrpc.NewHealthClient(client).Watch(s.ctx, &healthgrpc.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	hears(t, watch, healthgrpc.HealthCheckResponse_SERVING)
	close(ln.fail)
	hears(t, watch, healthgrpc.HealthCheckResponse_NOT_SERVING) // after GOAWAY, on the stream that goes on
	s.cancelCalls()
	if err := s.ended(); !errors.Is(err, errFailing) {
		t.Errorf("Run returns %v, want %v", err, errFailing)
	}
}

func TestServerIsAttachedBeforeRun(t *testing.T) {
	s := prepare(t)
	s.attach(s.ln)
	s.run()
	s.healthy(s.connect())
	if err := handovergrpc.Attach(s.process, grpc.NewServer(), s.ln); err == nil {
		t.Error("attached while Run runs")
	}
	s.end()
	if err := s.ended(); err != nil {
		t.Error(err)
	}
}

func TestHandlerThatIgnoresItsContextIsLeftBehind(t *testing.T) {
	s := prepare(t)
	begun, release, returned := make(chan struct{}), make(chan struct{}), make(chan struct{})
	s.server.RegisterService(&grpc.ServiceDesc{ServiceName: "stubborn", HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{{
		StreamName: "stay", ServerStreams: true, Handler: func(any, grpc.ServerStream) error {
			close(begun)
			<-release
			close(returned)
			return nil
		},
	}}}, nil)
	s.attach(s.ln)
	s.run()
	if _, err := s.connect().NewStream(s.ctx, &grpc.StreamDesc{ServerStreams: true}, "/stubborn/stay"); err != nil {
		t.Fatal(err)
	}
	await(t, begun, "call")
	s.cancelCalls()
	s.end()
	if err := s.ended(); err != nil {
		t.Error(err)
	}
	close(release)
	await(t, returned, "handler")
}

// served is a process of a service that has health alone.
type served struct {
	t       *testing.T
	process *handover.Process
	server  *grpc.Server
	health  *health.Server
	ln      net.Listener
	ctx     context.Context // of calls
	result  chan error      // of Run

	cancelCalls context.CancelFunc
	end         context.CancelFunc // ends the service
}

func prepare(t *testing.T) *served {
	t.Helper()
	s := &served{t: t, server: grpc.NewServer(), health: health.NewServer(), result: make(chan error, 1)}
	s.ctx, s.cancelCalls = context.WithTimeout(t.Context(), patience)
	t.Cleanup(s.cancelCalls)
	healthgrpc.RegisterHealthServer(s.server, s.health)
	var err error
	if s.process, err = handover.New(t.Context(), handover.Config{Signals: handover.Signals{Upgrade: []os.Signal{}, Stop: []os.Signal{}}}); err != nil {
		t.Fatal(err)
	}
	if s.ln, err = s.process.Listen(t.Context(), "tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *served) attach(ln net.Listener) {
	s.t.Helper()
	if err := handovergrpc.Attach(s.process, s.server, ln, handovergrpc.WithHealth(s.health)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *served) run() {
	ctx, end := context.WithCancel(context.Background())
	s.end = end
	s.t.Cleanup(end)
	go func() { s.result <- s.process.Run(ctx) }()
}

// ended waits for the end of Run.
func (s *served) ended() error {
	s.t.Helper()
	select {
	case err := <-s.result:
		return err
	case <-time.After(patience):
		s.t.Fatal("Run does not return")
		return nil
	}
}

func (s *served) connect() *grpc.ClientConn {
	s.t.Helper()
	client, err := grpc.NewClient(s.ln.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { client.Close() })
	return client
}

// healthy makes a call.
func (s *served) healthy(client *grpc.ClientConn) {
	s.t.Helper()
	if _, err := healthgrpc.NewHealthClient(client).Check(s.ctx, &healthgrpc.HealthCheckRequest{}); err != nil {
		s.t.Fatal(err)
	}
}

func hears(t *testing.T, watch healthgrpc.Health_WatchClient, status healthgrpc.HealthCheckResponse_ServingStatus) {
	t.Helper()
	if answer, err := watch.Recv(); err != nil || answer.GetStatus() != status {
		t.Fatalf("the watcher hears %v, %v; want %v", answer.GetStatus(), err, status)
	}
}

func await(t *testing.T, event <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-event:
	case <-time.After(patience):
		t.Fatalf("no %s within %v", what, patience)
	}
}

// failing is a listener that breaks after its first connection.
type failing struct {
	net.Listener
	accepted bool
	fail     chan struct{}
}

var errFailing = errors.New("broken on purpose")

func (f *failing) Accept() (net.Conn, error) {
	if f.accepted {
		<-f.fail
		return nil, errFailing
	}
	f.accepted = true
	return f.Listener.Accept()
}
