package main

import (
	"fmt"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// failure is asked for by the request of that id.
var failure = make(chan struct{}, 100)

// flawed gives h the flaws that show in its answers. Requests of the check, which come before the commit, are answered.
func flawed(h http.Handler) http.Handler {
	var requests atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("id") != "check" {
			n := requests.Add(1)
			switch {
			case flaw == "deaf":
				<-r.Context().Done()
				return
			case flaw == "crash" && n >= 10:
				crash()
			case r.URL.Query().Get("id") == "fail":
				defer func() { failure <- struct{}{} }()
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
