package handovergrpc

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"

	"github.com/handover-go/handover"
)

const (
	// acceptWithin bounds the wait for the end of Accept: an ending service takes what its clients have queued, for about a
	// second. A listener that is none of the library's says only when it is closed that nothing more comes.
	acceptWithin = 3 * time.Second

	// handshakeWithin is the time for handshakes that are under way when connections are to leave. GOAWAY waits for them, so
	// it is shorter than the 120 s of [grpc.ConnectionTimeout]; after FINAL their clients have had all of probation.
	handshakeWithin = 2 * time.Second

	// goAwayFirst is by how much GOAWAY precedes NOT_SERVING. A client that checks the health of its connections fails calls
	// while the one it has does not serve, and makes another without a failure when it is told to go. grpc-go takes some
	// microseconds to send GOAWAY, and does not say when it has.
	goAwayFirst = 100 * time.Millisecond

	// stopWithin bounds the wait for handlers when this generation has gone, as the library's for net/http.
	stopWithin = time.Second
)

// service is a gRPC server that was attached.
type service struct {
	process  *handover.Process
	server   *grpc.Server
	listener *listener
	health   *health.Server // nil: not ours to say

	ended    chan struct{} // closed when server.Serve has returned
	err      error         // why it has; valid once ended is closed
	gone     chan struct{} // closed when this generation has gone
	goneOnce sync.Once
}

func newService(p *handover.Process, server *grpc.Server, ln net.Listener) *service {
	return &service{process: p, server: server, listener: newListener(ln), ended: make(chan struct{}), gone: make(chan struct{})}
}

// attach has the library run the service. What it knows to run, from the check before READY on and until Run returns, which
// waits for the end, is an http.Server on a listener. So it is given one that has no HTTP to serve: the life of the gRPC
// server is one call of its listener's Accept.
func (s *service) attach() error {
	host := &http.Server{TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}} // no HTTP/2 either
	if err := s.process.Attach(host, s); err != nil {
		return err
	}
	s.process.WhileServing(s.watch)
	return nil
}

// Accept implements net.Listener: it serves, until this generation has gone.
func (s *service) Accept() (net.Conn, error) {
	go func() {
		defer close(s.ended)
		s.err = s.server.Serve(s.listener)
	}()
	select {
	case <-s.process.Draining():
		s.drain()
	case <-s.gone: // a successor that did not get to serve
	}
	s.stop()
	return nil, net.ErrClosed
}

// Close implements net.Listener: this generation has gone, and its connections have been finished or cut.
func (s *service) Close() error {
	s.goneOnce.Do(func() { close(s.gone) })
	return nil
}

// Addr implements net.Listener.
func (s *service) Addr() net.Addr { return s.listener.Addr() }

// watch fails when the server ends in a generation that serves.
func (s *service) watch(ctx context.Context) error {
	select {
	case <-s.ended:
	case <-ctx.Done():
		return nil
	}
	err := s.err
	if err == nil {
		err = grpc.ErrServerStopped // by the program
	}
	return fmt.Errorf("serve gRPC on %s: %w", s.Addr(), err)
}

// drain tells clients to leave, and waits until they have finished, or this generation has gone.
//
// GracefulStop closes connections that come out of Accept from then on without a word, and sends GOAWAY to none until the last
// handshake is over. So the first is awaited, and the second is brought about.
func (s *service) drain() {
	s.await(s.ended, acceptWithin)
	s.await(s.listener.settle(handshakeWithin), 2*handshakeWithin)

	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.server.GracefulStop()
	}()
	if s.health != nil {
		s.await(stopped, goAwayFirst)
		s.health.Shutdown()
	}
	select {
	case <-stopped:
		return
	case <-s.gone:
	}
	select {
	case <-stopped:
	case <-time.After(stopWithin):
	}
}

// stop ends what is left.
func (s *service) stop() {
	s.server.Stop()
	<-s.ended
}

// await waits for an event, as long as this generation has not gone.
func (s *service) await(event <-chan struct{}, within time.Duration) {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-event:
	case <-timer.C:
	case <-s.gone:
	}
}
