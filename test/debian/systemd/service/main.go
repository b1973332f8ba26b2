// Command service is what the units of deploy/systemd run in tests. It serves handovertest's clients on port 8080.
//
//	go build -ldflags "-X main.flaw=unhealthy"
package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strconv"

	"github.com/handover-go/handover"
	"github.com/handover-go/handover/handovertest"
)

// flaw is one of
//
//	exit        ends with status 1 before it calls New
//	unhealthy   answers 503 at /healthz
var flaw string

func main() {
	if flaw == "exit" {
		os.Exit(1)
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, nil)).With("from", os.Getpid()))
	if err := run(context.Background()); err != nil {
		slog.Error("service ended", "error", err)
		os.Exit(1)
	}
	slog.Info("service ended")
	// $STATUS is for a main that goes wrong on its way out.
	status, _ := strconv.Atoi(os.Getenv("STATUS"))
	os.Exit(status)
}

func run(ctx context.Context) error {
	p, err := handover.New(ctx, handover.Config{})
	if err != nil {
		return err
	}
	ln, err := p.Listen(ctx, "tcp", ":8080")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", handovertest.HandlerFor(p.Generation))
	mux.HandleFunc("/hold", hold)
	mux.HandleFunc("/healthz", health)
	srv := &http.Server{Handler: mux}
	if err := handovertest.RecordAccepts(srv); err != nil {
		return err
	}
	if err := p.Attach(srv, ln); err != nil {
		return err
	}
	return p.Run(ctx)
}

// hold answers until the client closes: the generation that began to drains as long.
func hold(w http.ResponseWriter, r *http.Request) {
	io.WriteString(w, strconv.Itoa(os.Getpid())+"\n")
	http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

func health(w http.ResponseWriter, _ *http.Request) {
	if flaw == "unhealthy" {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}
