// Command service is what the demo replaces: a service with a check of its own, whose builds can be bad.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/handover-go/handover"
	"github.com/handover-go/handover/handovertest"
)

// Both are set by: go build -ldflags "-X main.build=v4 -X main.fault=exits"
var (
	build = "dev"
	fault string // what is wrong with this build; empty: nothing
)

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil)).With("build", build)
	if err := serve(context.Background(), log, os.Args[1]); err != nil {
		log.Error("ended", "error", err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, log *slog.Logger, address string) error {
	if fault == exits {
		return fmt.Errorf("read configuration: %w", os.ErrNotExist)
	}
	p, err := handover.New(ctx, handover.Config{
		Logger: log,

		// A demo is in a hurry. A service would be content with the defaults.
		Check:         answersOK,
		CheckTimeout:  300 * time.Millisecond,
		CheckInterval: 100 * time.Millisecond,
		CheckFailures: 3,
		Probation:     200 * time.Millisecond,
		DrainTimeout:  5 * time.Second,
	})
	if err != nil {
		return err
	}
	ln, err := p.Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: handovertest.HandlerFor(p.Generation)}
	misbehave(p, srv, log)
	if err := handovertest.RecordAccepts(srv); err != nil {
		return err
	}
	if err := p.Attach(srv, ln); err != nil {
		return err
	}
	return p.Run(ctx)
}

// answersOK is the service's check: what a client wants, a generation must give, before the handover and in probation.
func answersOK(ctx context.Context, dial handover.DialFunc) error {
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, "", "") },
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://service/?id=check", nil)
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %s", resp.Status)
	}
	return nil
}
