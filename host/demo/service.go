package demo

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

// serve is a service with a check of its own, which may have a fault.
func serve(ctx context.Context, log *slog.Logger, fault, address string) error {
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
	misbehave(p, srv, log, fault)
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
