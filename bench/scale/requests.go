package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// What those do whose requests are measured.
const (
	askersCount = 8
	askersSpan  = 2 * time.Second
)

// requests are what they ask with, whole.
var requests = []struct {
	name string
	text []byte
}{
	{"GET, 100 B", []byte("GET /bytes?n=100 HTTP/1.1\r\nHost: scale\r\n\r\n")},
	{"GET, 16 KiB", []byte("GET /bytes?n=16384 HTTP/1.1\r\nHost: scale\r\n\r\n")},
	{"POST, 1 MiB", append([]byte("POST /sink HTTP/1.1\r\nHost: scale\r\nContent-Length: 1048576\r\n\r\n"), make([]byte, 1<<20)...)},
}

// tlsRequests measures what a request over HTTPS costs a service, whose connections can move and whose cannot, in turn.
func tlsRequests(ctx context.Context, s settings) error {
	dir, file, err := pair()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var services []*family
	defer func() {
		for _, f := range services {
			_ = f.end(ctx)
		}
	}()
	kinds := []string{livingOn, drained}
	for _, kind := range kinds {
		f, err := start(ctx, pairVariable+"="+file, secureVariable+"="+kind)
		if err != nil {
			return err
		}
		services = append(services, f)
	}
	fmt.Printf("\n## Requests over HTTPS: %d connections, as fast as they are answered\n\n", askersCount)
	fmt.Println("| request | service | requests a second | processor time of the service, µs each | allocations each | ratio of requests a second | ratio of processor time |\n|---|---|---|---|---|---|---|")
	for _, r := range requests {
		rates, times, allocations := make([]series, len(kinds)), make([]series, len(kinds)), make([]series, len(kinds))
		var faster, costlier series
		for round := range 2 * s.rounds {
			for i := range kinds {
				i = (i + round) % len(kinds)
				one, err := askFast(ctx, services[i], file, r.name)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", r.name, kinds[i], err)
				}
				rates[i].add(0, one.rate)
				times[i].add(0, one.time)
				allocations[i].add(0, one.allocations)
			}
			faster.add(0, rates[0][round].Y/rates[1][round].Y)
			costlier.add(0, times[0][round].Y/times[1][round].Y)
		}
		ratios := []string{faster.spread("%.2f") + " | " + costlier.spread("%.2f"), "1 | 1"}
		for i, kind := range kinds {
			fmt.Printf("| %s | %s | %s | %s | %.1f | %s |\n", r.name, kind, rates[i].spread("%.0f"), times[i].spread("%.1f"), allocations[i].quantile(0.5), ratios[i])
		}
	}
	fmt.Printf("\nMedians of %d runs of %s each, in turn, and their quartiles; ratios are of runs next to each other.\n", 2*s.rounds, askersSpan)
	return nil
}

// fast is what requests cost, in one run.
type fast struct{ rate, time, allocations float64 } // a second; µs of the service's processor time each; each

// askFast has clients in a process of their own ask the service.
func askFast(ctx context.Context, f *family, file, request string) (of fast, err error) {
	trust, err := trusting(file, false)
	if err != nil {
		return of, err
	}
	cmd := self("askers", pairVariable+"="+file, addressVariable+"="+f.address, fmt.Sprintf("%s=%d", countVariable, askersCount), requestVariable+"="+request)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return of, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return of, err
	}
	if err := cmd.Start(); err != nil {
		return of, err
	}
	defer func() { err = errors.Join(err, in.Close(), cmd.Wait()) }()
	answers := bufio.NewReader(out)
	if _, err := answers.ReadString('\n'); err != nil {
		return of, err
	}
	allocated, err := f.allocated(ctx, trust)
	if err != nil {
		return of, err
	}
	spent, began := f.spent(), time.Now()
	if _, err := io.WriteString(in, "\n"); err != nil {
		return of, err
	}
	var n float64
	if _, err := fmt.Fscanln(answers, &n); err != nil {
		return of, err
	}
	of.rate, of.time = n/time.Since(began).Seconds(), float64((f.spent()-spent).Microseconds())/n
	after, err := f.allocated(ctx, trust)
	of.allocations = (after - allocated) / n
	return of, err
}

// allocated is how often the service has allocated memory so far.
func (f *family) allocated(ctx context.Context, trust configured) (float64, error) {
	text, err := f.look(ctx, trust(), "/allocations", allocationsHeader)
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(text, 64)
}

// askers are clients that connect, write a line, and for a line on standard input ask as fast as they are answered, for askersSpan; then
// they write how often they were.
func askers(address string, count int, request string) error {
	trust, err := trusting(os.Getenv(pairVariable), false)
	if err != nil {
		return err
	}
	all, err := clients(count, func() *client { return &client{address: address, secure: trust(), stays: true} })
	if err != nil {
		return err
	}
	var text []byte
	for _, r := range requests {
		if r.name == request {
			text = r.text
		}
	}
	for range 100 { // until buffers have grown
		for _, c := range all {
			if err := c.ask(text); err != nil {
				return err
			}
		}
	}
	fmt.Println("ready")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	var answered atomic.Int64
	var wait sync.WaitGroup
	errs, began := make([]error, count), time.Now()
	for i, c := range all {
		wait.Go(func() {
			for errs[i] == nil && time.Since(began) < askersSpan {
				errs[i] = c.ask(text)
				answered.Add(1)
			}
		})
	}
	wait.Wait()
	fmt.Println(answered.Load())
	return errors.Join(append(errs, leave(all))...)
}
