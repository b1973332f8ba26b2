// Command service is a service of the agent's tests. It answers handovertest's clients at $ADDR, and /started with how it was started. What is wrong with a release of it says a
// file "flaw" in its working directory, which is the release's: one word, and after how long it shows, as in "errors 3s"; or after how long from when a file
// is there, as in "errors 3s /tmp/now".
//
//	errors   every third request is answered with 500
//	slow     every request takes 50 ms longer
//	leak     a MiB more every 20 ms
//	crash    it ends with status 3, and each time that it is started anew
//	fatal    it ends with status 3, and cannot be started again
//	exit     it ends with status 1 before it is ready
//	sick     /healthz answers 503
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/handover-go/handover"
	"github.com/handover-go/handover/handovertest"
)

func main() {
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, nil)).With("pid", os.Getpid()))
	if err := run(context.Background()); err != nil {
		slog.Error("service ended", "error", err)
		os.Exit(1)
	}
}

// flaw is what is wrong with this release, and from when on.
type flaw struct {
	kind  string
	after time.Duration
	gate  string // the file; empty: none
	shows atomic.Bool
}

func read() (*flaw, error) {
	content, err := os.ReadFile("flaw")
	if errors.Is(err, os.ErrNotExist) {
		return &flaw{}, nil
	}
	words := strings.Fields(string(content))
	if err != nil || len(words) != 2 && len(words) != 3 {
		return nil, errors.Join(err, errors.New("flaw: want a word, a duration, and perhaps a file"))
	}
	after, err := time.ParseDuration(words[1])
	return &flaw{kind: words[0], after: after, gate: strings.Join(words[2:], "")}, err
}

func run(ctx context.Context) error {
	f, err := read()
	if err != nil {
		return err
	}
	if _, err := os.Stat("dead"); f.kind == "fatal" && err == nil {
		return errors.New("this release cannot be started again")
	}
	if f.kind == "exit" {
		return errors.New("this release ends before it is ready")
	}
	p, err := handover.New(ctx, handover.Config{})
	if err != nil {
		return err
	}
	ln, err := p.Listen(ctx, "tcp", os.Getenv("ADDR"))
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", f.flawed(handovertest.HandlerFor(p.Generation)))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if f.is("sick") {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /started", started)
	srv := &http.Server{Handler: mux}
	if os.Getenv("HANDOVERTEST_LEDGER") != "" {
		if err := handovertest.RecordAccepts(srv); err != nil {
			return err
		}
	}
	if err := p.Attach(srv, ln); err != nil {
		return err
	}
	p.WhileServing(f.show)
	err = p.Run(ctx)
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// started tells how this process was started.
func started(w http.ResponseWriter, _ *http.Request) {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintf(w, "%d %s colour=%s files=%d", os.Getpid(), strings.Join(os.Args[1:], " "), os.Getenv("COLOUR"), files.Max)
}

func (f *flaw) is(kind string) bool { return f.kind == kind && f.shows.Load() }

// show makes the flaw show when its time has come, and is the flaw where it is none of requests.
func (f *flaw) show(ctx context.Context) error {
	if f.kind == "" {
		return nil
	}
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for there := f.gate == ""; !there; {
		select {
		case <-look.C:
			_, err := os.Stat(f.gate)
			there = err == nil
		case <-ctx.Done():
			return nil
		}
	}
	select {
	case <-time.After(f.after):
	case <-ctx.Done():
		return nil
	}
	f.shows.Store(true)
	switch f.kind {
	case "fatal":
		if err := os.WriteFile("dead", nil, 0o644); err != nil {
			return err
		}
		fallthrough
	case "crash":
		slog.Error("crashing")
		os.Exit(3)
	case "leak":
		leak(ctx)
	}
	return nil
}

// leak takes more and more memory, and uses it.
func leak(ctx context.Context) {
	var leaked [][]byte
	more := time.NewTicker(20 * time.Millisecond)
	defer more.Stop()
	for len(leaked) < 1000 { // and no more than a GiB
		select {
		case <-more.C:
			block := make([]byte, 1<<20)
			for i := 0; i < len(block); i += 4096 {
				block[i] = 1
			}
			leaked = append(leaked, block)
		case <-ctx.Done():
			return
		}
	}
	<-ctx.Done()
}

func (f *flaw) flawed(h http.Handler) http.Handler {
	var requests atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case f.is("errors") && requests.Add(1)%3 == 0:
			http.Error(w, "flawed", http.StatusInternalServerError)
			return
		case f.is("slow"):
			<-time.After(50 * time.Millisecond)
		}
		h.ServeHTTP(w, r)
	})
}
