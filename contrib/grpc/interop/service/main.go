// Command service is the service of grpc-go's interoperability tests, with health, upgraded by SIGUSR2. Each answer's header
// says which generation and which process gave it. Calls with the metadata "crash" end the process, with "fail" its service.
package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthgrpc "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"github.com/handover-go/handover"
	handovergrpc "github.com/handover-go/handover/contrib/grpc"
)

func main() {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("from", os.Getpid())
	if err := serve(context.Background(), log); err != nil {
		log.Error("service ended", "error", err)
		os.Exit(1)
	}
	log.Info("service ended")
}

func serve(ctx context.Context, log *slog.Logger) error {
	p, err := handover.New(ctx, handover.Config{Logger: log})
	if err != nil {
		return err
	}
	ln, err := p.Listen(ctx, "tcp", os.Getenv("ADDR"))
	if err != nil {
		return err
	}
	s := &service{process: p, fail: make(chan struct{}, 1)}
	options := []grpc.ServerOption{grpc.UnaryInterceptor(s.unary), grpc.StreamInterceptor(s.stream)}
	if cert := os.Getenv("CERT"); cert != "" {
		creds, err := credentials.NewServerTLSFromFile(cert, os.Getenv("KEY"))
		if err != nil {
			return err
		}
		options = append(options, grpc.Creds(creds))
	}
	server, hs := grpc.NewServer(options...), health.NewServer()
	testgrpc.RegisterTestServiceServer(server, interop.NewTestServer())
	healthgrpc.RegisterHealthServer(server, hs)
	if err := handovergrpc.Attach(p, server, ln, handovergrpc.WithHealth(hs)); err != nil {
		return err
	}
	p.WhileServing(s.work)
	return p.Run(ctx)
}

// service says who answers, and does what it is told.
type service struct {
	process *handover.Process
	fail    chan struct{}
}

func (s *service) unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	told, _ := metadata.FromIncomingContext(ctx)
	switch {
	case told.Get("crash") != nil:
		os.Exit(3)
	case told.Get("fail") != nil:
		s.fail <- struct{}{}
	}
	if err := grpc.SetHeader(ctx, s.who()); err != nil {
		return nil, err
	}
	return handler(ctx, req)
}

func (s *service) stream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if err := stream.SetHeader(s.who()); err != nil {
		return err
	}
	return handler(srv, stream)
}

func (s *service) who() metadata.MD {
	return metadata.Pairs("generation", strconv.Itoa(s.process.Generation()), "pid", strconv.Itoa(os.Getpid()))
}

// work fails when a call says so.
func (s *service) work(ctx context.Context) error {
	select {
	case <-s.fail:
		return errors.New("told to fail")
	case <-ctx.Done():
		return nil
	}
}
