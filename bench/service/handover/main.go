// Command handover is the service under handover, as its documentation shows it.
package main

import (
	"context"
	"log"
	"log/slog"
	"net/http"
	"os"

	"github.com/handover-go/handover"
	"github.com/handover-go/handover/bench/service"
)

func main() {
	ctx := context.Background()
	p, err := handover.New(ctx, handover.Config{
		Logger:       slog.New(slog.NewJSONHandler(os.Stderr, nil)),
		ReadyTimeout: service.ReadyTimeout,
		Probation:    service.Probation,
		DrainTimeout: service.DrainTimeout,
	})
	if err != nil {
		log.Fatal(err)
	}
	ln, err := p.Listen(ctx, "tcp", service.Address())
	if err != nil {
		log.Fatal(err)
	}
	service.Prepare()
	p.WhileServing(func(ctx context.Context) error {
		service.Serving()
		<-ctx.Done()
		return nil
	})
	if err := p.Attach(&http.Server{Handler: service.Handler()}, ln); err != nil {
		log.Fatal(err)
	}
	if err := p.Run(ctx); err != nil {
		log.Fatal(err)
	}
}
