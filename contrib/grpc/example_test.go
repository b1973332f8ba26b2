package handovergrpc_test

import (
	"context"
	"log"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthgrpc "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/handover-go/handover"
	handovergrpc "github.com/handover-go/handover/contrib/grpc"
)

// A server with health. Build it anew at the same path and send SIGUSR2: connected clients go on with the next build.
func Example() {
	ctx := context.Background()
	p, err := handover.New(ctx, handover.Config{})
	if err != nil {
		log.Fatal(err)
	}
	ln, err := p.Listen(ctx, "tcp", ":50051")
	if err != nil {
		log.Fatal(err)
	}
	server, hs := grpc.NewServer(), health.NewServer()
	healthgrpc.RegisterHealthServer(server, hs) // and the services themselves
	if err := handovergrpc.Attach(p, server, ln, handovergrpc.WithHealth(hs)); err != nil {
		log.Fatal(err)
	}
	if err := p.Run(ctx); err != nil {
		log.Fatal(err)
	}
}
