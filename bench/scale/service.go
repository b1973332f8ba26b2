package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/handover-go/handover"
	"github.com/handover-go/handover/handovertest"
)

// This program plays every part of what it measures: roleVariable says which.
const (
	roleVariable      = "SCALE_ROLE"      // "service", "holder", "crowd" or "askers"
	addressVariable   = "SCALE_ADDRESS"   // where the service listens
	listenersVariable = "SCALE_LISTENERS" // how many listeners the service has: one there, and the rest anywhere
	countVariable     = "SCALE_COUNT"     // how many connections the holder holds
	plainVariable     = "SCALE_PLAIN"     // the service is plain net/http
	secureVariable    = "SCALE_SECURE"    // the service speaks TLS: livingOn or drained
	pairVariable      = "SCALE_PAIR"      // file with its certificate and key, and so with what its clients trust
	resumedVariable   = "SCALE_RESUMED"   // clients resume their sessions
	requestVariable   = "SCALE_REQUEST"   // what they ask with, of requests
)

func play(role string) error {
	switch role {
	case "service":
		return serve()
	case "holder":
		return hold(os.Getenv(addressVariable), number(countVariable))
	case "crowd":
		return crowd(os.Getenv(addressVariable), number(countVariable))
	case "askers":
		return askers(os.Getenv(addressVariable), number(countVariable), os.Getenv(requestVariable))
	default:
		return fmt.Errorf("%s is %q", roleVariable, role)
	}
}

func number(variable string) int {
	n, _ := strconv.Atoi(os.Getenv(variable))
	return n
}

// serve is the service: any number of listeners, and each of them served.
func serve() error {
	ctx, address := context.Background(), os.Getenv(addressVariable)
	if os.Getenv(plainVariable) != "" {
		ln, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		fmt.Println(`msg="serving"`)
		return http.Serve(ln, handovertest.Handler())
	}
	if os.Getenv(secureVariable) != "" {
		return serveSecure(ctx, address)
	}
	p, err := handover.New(ctx, handover.Config{Logger: logger(slog.LevelDebug), Probation: 20 * time.Millisecond, DrainTimeout: time.Minute, MaxDraining: 64})
	if err != nil {
		return err
	}
	for i := range max(1, number(listenersVariable)) {
		if i > 0 {
			address = "127.0.0.1:0"
		}
		ln, err := p.Listen(ctx, "tcp", address)
		if err != nil {
			return err
		}
		srv := &http.Server{Handler: handovertest.HandlerFor(p.Generation)}
		if err := p.Attach(srv, ln); err != nil {
			return err
		}
	}
	return p.Run(ctx)
}

// logger writes instants in nanoseconds: what is measured takes less than a millisecond.
func logger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Int64(slog.TimeKey, a.Value.Time().UnixNano())
			}
			return a
		},
	}))
}
