package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/handover-go/handover"
)

// eventInterval is the time between two of /events.
const eventInterval = 20 * time.Millisecond

func events(w http.ResponseWriter, r *http.Request, p *handover.Process) {
	var draining <-chan struct{}
	if r.URL.Query().Get("end") == "draining" {
		draining = p.Draining()
	}
	ctx, cancel := handover.WithDrainDeadline(r.Context())
	defer cancel()
	w.Header().Set("Content-Type", "text/event-stream")
	response := http.NewResponseController(w)
	tick := time.NewTicker(eventInterval)
	defer tick.Stop()
	for n := 0; ; n++ {
		fmt.Fprintf(w, "id: %d\ndata: %d\n\n", n, os.Getpid())
		if response.Flush() != nil {
			return
		}
		select {
		case <-draining:
			fmt.Fprint(w, "event: end\ndata: draining\n\n")
			return
		case <-ctx.Done():
			fmt.Fprintf(w, "event: end\ndata: %v\n\n", context.Cause(ctx))
			return
		case <-tick.C:
		}
	}
}
