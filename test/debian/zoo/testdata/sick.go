package main

import (
	"net/http"
	"sync/atomic"
)

// ailing is what a bad build of the zoo has before all that it answers: once /sicken was asked for, /stream, which is asked for its
// health, says that it is not well. It answers everything else as a good one does.
func ailing(well http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/sicken":
			sick.Store(true)
		case r.URL.Path == "/stream" && sick.Load():
			http.Error(w, "this build does not feel well", http.StatusServiceUnavailable)
		default:
			well.ServeHTTP(w, r)
		}
	})
}

var sick atomic.Bool
