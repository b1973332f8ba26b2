// Command grpc is a gRPC server with health. A client that stays connected goes on with the next generation, and notices nothing.
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthgrpc "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/handover-go/handover"
	handovergrpc "github.com/handover-go/handover/contrib/grpc"
)

func main() {
	if err := serve(context.Background(), cmp.Or(os.Getenv("ADDR"), "127.0.0.1:8080")); err != nil {
		log.Fatal(err)
	}
}

func serve(ctx context.Context, address string) error {
	p, err := handover.New(ctx, handover.Config{})
	if err != nil {
		return err
	}
	ln, err := p.Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	server, hs := grpc.NewServer(), health.NewServer()
	healthgrpc.RegisterHealthServer(server, hs)
	server.RegisterService(&who, p)
	if err := handovergrpc.Attach(p, server, ln, handovergrpc.WithHealth(hs)); err != nil {
		return err
	}
	return p.Run(ctx)
}

// who is a service of one method, which says who answers. A real one is generated.
var who = grpc.ServiceDesc{ServiceName: "example.Who", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{
	MethodName: "Ask",
	Handler: func(p any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		if err := decode(new(emptypb.Empty)); err != nil {
			return nil, err
		}
		return wrapperspb.String(fmt.Sprintf("generation %d pid %d", p.(*handover.Process).Generation(), os.Getpid())), nil
	},
}}}
