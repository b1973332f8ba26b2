package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/handover-go/handover"
)

// appended returns the flaw that was written behind the program in its file, after "flaw=".
func appended() (string, error) {
	file, err := os.Open("/proc/self/exe")
	if err != nil {
		return "", err
	}
	defer file.Close()
	end := make([]byte, 32)
	if _, err := file.Seek(-int64(len(end)), io.SeekEnd); err != nil {
		return "", err
	}
	if _, err := io.ReadFull(file, end); err != nil {
		return "", err
	}
	_, name, _ := strings.Cut(string(end), "flaw=")
	return name, nil
}

// failure is asked for by the request of that id.
var failure = make(chan struct{}, 100)

// flawed gives h the flaws that show in its answers. Requests of the check, which come before the commit, are answered.
func flawed(h http.Handler) http.Handler {
	var requests atomic.Int64
	var spins atomic.Bool
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if flaw == "spin" && (spins.Load() || r.URL.Query().Get("id") == "spin") {
			if !spins.Swap(true) {
				fmt.Fprintf(os.Stderr, "msg=%q pid=%d\n", "spins", os.Getpid())
			}
			for { //nolint:staticcheck // SA5002: it is to spin, and nothing in it is where the runtime could stop it
			}
		}
		if r.URL.Query().Get("id") != "check" {
			n := requests.Add(1)
			switch {
			case flaw == "deaf":
				<-r.Context().Done()
				return
			case flaw == "crash" && n >= 10:
				crash()
			case r.URL.Query().Get("id") == "fail":
				defer func() {
					_ = http.NewResponseController(w).Flush() // who asked knows, whatever becomes of this process
					failure <- struct{}{}
				}()
			}
		} else if flaw == "deaf" && requests.Load() > 0 {
			<-r.Context().Done()
			return
		}
		h.ServeHTTP(w, r)
	})
}

// crash says when, before it could cost anything, and ends the process.
func crash() {
	fmt.Fprintf(os.Stderr, "msg=%q pid=%d at=%d\n", "crashing", os.Getpid(), time.Now().UnixNano())
	os.Exit(3)
}

// impatient calls Upgrade at each SIGHUP, and does nothing else.
func impatient(ctx context.Context, p *handover.Process) {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGHUP)
	fmt.Fprintf(os.Stderr, "msg=%q pid=%d\n", "waits for SIGHUP", os.Getpid())
	for range told {
		r, err := p.Upgrade(ctx)
		fmt.Fprintf(os.Stderr, "msg=%q pid=%d attempt=%d error=%q\n", "upgrade answered", os.Getpid(), r.Attempt, fmt.Sprint(err))
	}
}
