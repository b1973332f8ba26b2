package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/handover-go/handover"
)

// defaultSpan is the length of a round.
const defaultSpan = time.Second

// clients is how many connections ask at the same time, one request after the other.
const clients = 4

var (
	request = []byte("GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
	body    = bytes.Repeat([]byte("x"), 100)
)

func handler(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) }

// subject is a server of the same handler.
type subject struct {
	name    string
	address string
	perSec  []float64
	allocs  []float64
}

// compareRequests serves the same handler by plain net/http and under handover, in this process, and asks both in turn.
func compareRequests(rounds int, span time.Duration) error {
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	defer wait.Wait()
	defer cancel()

	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	plainServer := &http.Server{Handler: http.HandlerFunc(handler)}
	wait.Go(func() { _ = plainServer.Serve(plain) })
	defer func() { _ = plainServer.Close() }()

	p, err := handover.New(ctx, handover.Config{})
	if err != nil {
		return err
	}
	ours, err := p.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := p.Attach(&http.Server{Handler: http.HandlerFunc(handler)}, ours); err != nil {
		return err
	}
	wait.Go(func() { _ = p.Run(ctx) })

	subjects := []*subject{{name: "net/http", address: plain.Addr().String()}, {name: "handover", address: ours.Addr().String()}}
	for round := range rounds + 1 {
		for _, s := range subjects {
			perSec, allocs, err := ask(s.address, span)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			if round > 0 { // the first warms up
				s.perSec = append(s.perSec, perSec)
				s.allocs = append(s.allocs, allocs)
			}
		}
		slices.Reverse(subjects)
	}
	slices.SortFunc(subjects, func(a, b *subject) int { return len(b.name) - len(a.name) })
	fmt.Printf("served requests: %d keep-alive connections, 100 bytes, %d rounds of %s in turn, medians\n", clients, rounds, span)
	base := subjects[0]
	if base.name != "net/http" {
		base = subjects[1]
	}
	ratios := make([]float64, len(base.perSec))
	for _, s := range subjects {
		for i := range s.perSec {
			ratios[i] = s.perSec[i] / base.perSec[i]
		}
		fmt.Printf("  %-10s %9.0f requests/s   %6.2f allocations a request   ratio %.3f (min %.3f, max %.3f)\n",
			s.name, median(s.perSec), median(s.allocs), median(ratios), slices.Min(ratios), slices.Max(ratios))
	}
	return nil
}

// ask drives a server for a while, and returns requests a second, and allocations of this process for each: the clients
// make none.
func ask(address string, span time.Duration) (perSec, allocs float64, err error) {
	var before, after runtime.MemStats
	conns := make([]net.Conn, clients)
	for i := range conns {
		if conns[i], err = net.Dial("tcp", address); err != nil {
			return 0, 0, err
		}
		defer conns[i].Close()
		if err := askOnce(conns[i], make([]byte, 4096)); err != nil {
			return 0, 0, err
		}
	}
	counts := make([]int, clients)
	errs := make([]error, clients)
	var wait sync.WaitGroup
	runtime.GC()
	runtime.ReadMemStats(&before)
	began := time.Now()
	for i, c := range conns {
		wait.Go(func() {
			buf := make([]byte, 4096)
			for time.Since(began) < span && errs[i] == nil {
				errs[i] = askOnce(c, buf)
				counts[i]++
			}
		})
	}
	wait.Wait()
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	n := 0
	for i := range counts {
		if errs[i] != nil {
			return 0, 0, errs[i]
		}
		n += counts[i]
	}
	return float64(n) / took.Seconds(), float64(after.Mallocs-before.Mallocs) / float64(n), nil
}

// askOnce sends a request and reads until the answer's body has come.
func askOnce(c net.Conn, buf []byte) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	n := 0
	for !bytes.HasSuffix(buf[:n], body) {
		m, err := c.Read(buf[n:])
		if err != nil {
			return err
		}
		if n += m; n == len(buf) {
			return io.ErrShortBuffer
		}
	}
	return nil
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
