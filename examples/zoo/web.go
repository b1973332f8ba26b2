package main

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/gobwas/ws"

	"github.com/handover-go/handover"
)

// web is what HTTP and HTTPS answer.
func web(p *handover.Process) http.Handler {
	mux := http.NewServeMux()
	who := func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, "{\"generation\":%d,\"pid\":%d}\n", p.Generation(), os.Getpid())
	}
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) { who(w) })
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		if wait(r, 100) {
			who(w)
		}
	})
	mux.HandleFunc("/upload", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintln(w, n)
	})
	mux.HandleFunc("/stream", stream)
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		conn, buffered, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			return // it is answered
		}
		unread, _ := buffered.Reader.Peek(buffered.Reader.Buffered())
		_ = p.ServeSession(webSocketKind, conn, unread) // how a client leaves is no news
	})
	return mux
}

// stream ends at the drain deadline, should it last as long, with a line that says so.
func stream(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := handover.WithDrainDeadline(r.Context())
	defer cancel()
	r = r.WithContext(ctx)
	n, err := strconv.Atoi(cmp.Or(r.FormValue("n"), "10"))
	if err != nil || n < 0 {
		http.Error(w, "n is how many lines", http.StatusBadRequest)
		return
	}
	flush := http.NewResponseController(w).Flush
	for i := 1; i <= n; i++ {
		if !wait(r, 10) {
			fmt.Fprintln(w, "cut short: this generation leaves")
			return
		}
		if _, err := fmt.Fprintln(w, i); err != nil || flush() != nil {
			return
		}
	}
}

// wait waits for ?ms= milliseconds, and reports whether the client does too.
func wait(r *http.Request, otherwise int) bool {
	ms, err := strconv.Atoi(r.FormValue("ms"))
	if err != nil || ms < 0 {
		ms = otherwise
	}
	select {
	case <-time.After(time.Duration(ms) * time.Millisecond):
		return true
	case <-r.Context().Done():
		return false
	}
}
