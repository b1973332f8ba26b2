package interop

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	healthgrpc "google.golang.org/grpc/health/grpc_health_v1"
)

const (
	serving    = healthgrpc.HealthCheckResponse_SERVING
	notServing = healthgrpc.HealthCheckResponse_NOT_SERVING
)

func TestHealthTurnsNotServingOnlyAfterFINAL(t *testing.T) {
	s := start(t, "HANDOVER_PROBATION=1s")
	client := s.connect()
	watcher := s.watch(client)
	watcher.wants(serving)

	onProbation, final := s.says(proving), s.says(leaving)
	s.Signal(s.PID(), syscall.SIGUSR2)
	s.line(onProbation)
	s.healthy(s.connect()) // the successor
	s.healthy(client)      // the incumbent, which stands by
	at := watcher.wants(notServing)
	if said := logged(t, s.line(final)); at.Before(said) {
		t.Errorf("NOT_SERVING %v before FINAL", said.Sub(at))
	}
	s.healthy(s.connect())
	s.healthy(client) // has left by itself
	watcher.cancel()
}

// watcher is a stream that hears each change of health.
type watcher struct {
	s      *service
	stream grpc.ServerStreamingClient[healthgrpc.HealthCheckResponse]
	cancel func()
}

func (s *service) watch(cc *grpc.ClientConn) *watcher {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.ctx)
	stream, err := healthgrpc.NewHealthClient(cc).Watch(ctx, &healthgrpc.HealthCheckRequest{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(cancel)
	return &watcher{s: s, stream: stream, cancel: cancel}
}

// wants is told of the next change, and says when.
func (w *watcher) wants(status healthgrpc.HealthCheckResponse_ServingStatus) time.Time {
	w.s.t.Helper()
	answer, err := w.stream.Recv()
	if err != nil || answer.GetStatus() != status {
		w.s.t.Fatalf("the watcher hears %v, %v; want %v\n%s", answer.GetStatus(), err, status, w.s.Output(60))
	}
	return time.Now()
}

// hearsNothing ends the watch, and finds no change that it has not been told of.
func (w *watcher) hearsNothing() {
	w.s.t.Helper()
	w.cancel()
	if answer, err := w.stream.Recv(); err == nil {
		w.s.t.Errorf("the watcher hears %v", answer.GetStatus())
	}
}

// healthy asks once.
func (s *service) healthy(cc *grpc.ClientConn) {
	s.t.Helper()
	answer, err := healthgrpc.NewHealthClient(cc).Check(s.ctx, &healthgrpc.HealthCheckRequest{})
	if err != nil || answer.GetStatus() != serving {
		s.t.Errorf("health is %v, %v; want %v\n%s", answer.GetStatus(), err, serving, s.Output(60))
	}
}

// logged returns the time at which a line was written.
func logged(t *testing.T, line string) time.Time {
	t.Helper()
	text, _, _ := strings.Cut(strings.TrimPrefix(line, "time="), " ")
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}
