// Command workers does something in the background that must never be done twice at the same time.
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/handover-go/handover"
)

func main() {
	if err := serve(context.Background(), cmp.Or(os.Getenv("ADDR"), "127.0.0.1:8080")); err != nil {
		log.Fatal(err)
	}
}

func serve(ctx context.Context, address string) error {
	journal, err := openJournal()
	if err != nil {
		return err
	}
	defer journal.Close()
	p, err := handover.New(ctx, handover.Config{})
	if err != nil {
		return err
	}

	// At most one generation at a time is in this function. At the freeze its context ends, and the successor serves only
	// once it has returned: what it does last, before it returns, is done before the successor's first. So it returns
	// soon: meanwhile nobody accepts (new clients wait in the kernel's queue), and past Config.FreezeTimeout the
	// handover is aborted. After an abort, or when the successor is taken back, the function is called again.
	p.WhileServing(func(ctx context.Context) error { return tick(ctx, journal, p.Generation()) })

	ln, err := p.Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	answer := func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "generation %d pid %d\n", p.Generation(), os.Getpid())
	}
	if err := p.Attach(&http.Server{Handler: http.HandlerFunc(answer)}, ln); err != nil {
		return err
	}
	return p.Run(ctx)
}

// tick is the work: a line each time, and one at its begin and end. An error of its own accord, as of a full disk, would end
// the service, or have a successor taken back.
func tick(ctx context.Context, journal *os.File, generation int) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	if _, err := fmt.Fprintf(journal, "generation %d begins\n", generation); err != nil {
		return err
	}
	for {
		select {
		case <-ticker.C:
			if _, err := fmt.Fprintf(journal, "generation %d tick\n", generation); err != nil {
				return err
			}
		case <-ctx.Done():
			_, err := fmt.Fprintf(journal, "generation %d ends\n", generation)
			return err
		}
	}
}

// openJournal opens the file that all generations append to: $JOURNAL, or the terminal.
func openJournal() (*os.File, error) {
	if name := os.Getenv("JOURNAL"); name != "" {
		return os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	}
	return os.Stdout, nil
}
