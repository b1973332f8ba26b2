// Command http is the smallest service that knows its generation. Build it anew at the same path, send SIGUSR2, and ask again.
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/handover-go/handover"
)

// build is set by: go build -ldflags "-X main.build=v2"
var build = "dev"

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
	answer := func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "build %s generation %d pid %d\n", build, p.Generation(), os.Getpid())
	}
	if err := p.Attach(&http.Server{Handler: http.HandlerFunc(answer)}, ln); err != nil {
		return err
	}
	return p.Run(ctx)
}
