package scenario

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/handover-go/handover"
	"github.com/handover-go/handover/bench/measure"
	"github.com/handover-go/handover/bench/service"
)

// Request is the served request under the library beside plain net/http, both in this process, driven in turn.
type Request struct {
	Ratio                        []float64 // of answers a second, round by round
	Plain, Ours                  []float64 // answers a second
	PlainAllocated, OurAllocated []float64 // heap objects a request: the driver makes none
}

// Requested compares them in so many rounds of a span each.
func Requested(ctx context.Context, rounds int, span time.Duration) (r Request, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var wait sync.WaitGroup
	defer wait.Wait()
	defer cancel()

	body := bytes.Repeat([]byte("x"), service.BodySize)
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) })
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return r, err
	}
	server := &http.Server{Handler: handler}
	wait.Go(func() { _ = server.Serve(plain) })
	defer func() { _ = server.Close() }()

	p, err := handover.New(ctx, handover.Config{
		Logger: slog.New(slog.DiscardHandler), Signals: handover.Signals{Upgrade: []os.Signal{}, Stop: []os.Signal{}},
	})
	if err != nil {
		return r, err
	}
	ours, err := p.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return r, err
	}
	if err := p.Attach(&http.Server{Handler: handler}, ours); err != nil {
		return r, err
	}
	wait.Go(func() { _ = p.Run(ctx) })

	turns := []struct {
		name, address      string
		perSec, allocation *[]float64
	}{
		{"net/http", plain.Addr().String(), &r.Plain, &r.PlainAllocated},
		{"handover", ours.Addr().String(), &r.Ours, &r.OurAllocated},
	}
	for round := range rounds + 1 {
		for _, t := range turns {
			perSec, allocations, err := request(t.address, span)
			if err != nil {
				return r, fmt.Errorf("%s: %w", t.name, err)
			}
			if round > 0 { // the first warms up
				*t.perSec, *t.allocation = append(*t.perSec, perSec), append(*t.allocation, allocations)
			}
		}
		slices.Reverse(turns)
	}
	for i := range r.Plain {
		r.Ratio = append(r.Ratio, r.Ours[i]/r.Plain[i])
	}
	return r, ctx.Err()
}

func request(address string, span time.Duration) (perSec, allocations float64, err error) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	answers, took, err := measure.Drive(address, span)
	runtime.ReadMemStats(&after)
	return float64(answers) / took.Seconds(), float64(after.Mallocs-before.Mallocs) / float64(answers), err
}
