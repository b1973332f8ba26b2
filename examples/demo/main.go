// Command demo replaces a service while 28 strict clients use it: ten times by a good build, and four times by a bad one,
// which is refused or taken back. It shows each attempt as it ends, and what all of them together have lost.
//
// It exits with 0 if every promise was kept, with 1 if one was broken or the demo could not go on, with 2 on wrong use.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// timeout bounds the whole demo. It takes some twenty seconds on two slow processors.
const timeout = 3 * time.Minute

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(stderr)
	format := flags.String("o", "text", "output: text, or json for one object at the end")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	if flags.NArg() > 0 || *format != "text" && *format != "json" {
		fmt.Fprintf(stderr, "demo: give no arguments, and -o text or -o json\n")
		return 2
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	show := &screen{w: stdout, began: time.Now()}
	if *format == "json" {
		show.w = io.Discard
	}
	total, err := perform(ctx, show)
	if err != nil {
		fmt.Fprintf(stderr, "demo: %v\n", err)
		return 1
	}
	if *format == "json" {
		err = total.writeJSON(stdout)
	} else {
		err = total.writeText(stdout)
	}
	broken := total.broken()
	for _, promise := range broken {
		fmt.Fprintf(stderr, "demo: %s\n", promise)
	}
	if err != nil || len(broken) > 0 {
		return 1
	}
	return 0
}
