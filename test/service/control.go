package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"time"

	"github.com/handover-go/handover"
)

// control answers what is asked of the service itself, and leaves the rest to next:
//
//	/upgrade?when=&ms=   calls Upgrade, once Draining is closed if when=draining, and gives it up after that time. The
//	                     answer is JSON: Result, Error and the names of the errors that it Is
//	/cancel              ends the context of Run
//	/goroutines          "PID COUNT"
//	/keepalive           "keepalive PID [SO_KEEPALIVE TCP_KEEPIDLE TCP_KEEPINTVL TCP_KEEPCNT]" of the connection, which ends
//	/child               the environment of a process that this one starts, and its descriptors
//	/client              what is known of the client by TLS, see client
//	/events              a stream of events (SSE) that ends with why the context of the request did, or with "draining" once
//	                     this generation drains if ?end=draining
func control(p *handover.Process, cancel context.CancelFunc, next http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", next)
	mux.HandleFunc("/upgrade", func(w http.ResponseWriter, r *http.Request) { upgrade(w, r, p) })
	mux.HandleFunc("/cancel", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, os.Getpid())
		cancel()
	})
	mux.HandleFunc("/goroutines", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, os.Getpid(), runtime.NumGoroutine())
	})
	mux.HandleFunc("/keepalive", keepAlive)
	mux.HandleFunc("/child", child)
	mux.HandleFunc("/client", client)
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) { events(w, r, p) })
	return mux
}

// sentinels are the errors that Upgrade can wrap.
var sentinels = map[string]error{
	"ErrInProgress": handover.ErrInProgress, "ErrAborted": handover.ErrAborted, "ErrResumed": handover.ErrResumed,
	"ErrDenied": handover.ErrDenied, "ErrNotReady": handover.ErrNotReady, "ErrTooManyDraining": handover.ErrTooManyDraining,
	"ErrNeedsKeeper": handover.ErrNeedsKeeper, "ErrDisabled": handover.ErrDisabled, "ErrUnsupported": errors.ErrUnsupported,
	"DeadlineExceeded": context.DeadlineExceeded,
}

func upgrade(w http.ResponseWriter, r *http.Request, p *handover.Process) {
	ctx := r.Context()
	if r.URL.Query().Get("when") == "draining" {
		select {
		case <-p.Draining():
		case <-ctx.Done():
			return
		}
	}
	if ms, err := strconv.Atoi(r.URL.Query().Get("ms")); err == nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(ms)*time.Millisecond)
		defer cancel()
	}
	answer := struct {
		Result handover.Result
		Error  string
		Is     []string
	}{}
	var err error
	if answer.Result, err = p.Upgrade(ctx); err != nil {
		answer.Error = err.Error()
		for name, sentinel := range sentinels {
			if errors.Is(err, sentinel) {
				answer.Is = append(answer.Is, name)
			}
		}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func child(w http.ResponseWriter, r *http.Request) {
	cmd := exec.CommandContext(r.Context(), "sh", "-c", "env; ls -l /proc/$$/fd")
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Run(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}
