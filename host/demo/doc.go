// Package demo replaces a service under a keeper while 28 strict clients use it: ten times by a good build, four times by a
// bad one, which is refused or taken back, and it kills the only generation once. It shows each attempt as it ends, and what
// all of them together have lost.
//
// The service is the program itself: a build is a copy of the executable with a few bytes behind its end, which say how it
// behaves. So the demo needs nothing but the one file.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Options are what the demo is given.
type Options struct {
	JSON     bool // one object at the end instead of text
	Terminal bool // Stdout is one: what clients see is shown as it changes
	Stdout   io.Writer
}

// timeout bounds the whole demo. It takes some fifteen seconds on two slow processors.
const timeout = 3 * time.Minute

// ErrBroken: a promise was not kept. The error says which.
var ErrBroken = errors.New("a promise was broken")

// Run does it all. What it starts has ended when it returns, be ctx over or not.
func Run(ctx context.Context, o Options) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	show := &screen{w: o.Stdout, terminal: o.Terminal, began: time.Now()}
	if o.JSON {
		show.w, show.terminal = io.Discard, false
	}
	total, err := perform(ctx, show)
	if err != nil {
		return err
	}
	if o.JSON {
		err = total.writeJSON(o.Stdout)
	} else {
		err = total.writeText(o.Stdout)
	}
	if err != nil {
		return err
	}
	if broken := total.broken(); len(broken) > 0 {
		return fmt.Errorf("%w:\n%w", ErrBroken, errors.Join(broken...))
	}
	return nil
}

// serviceVariable is set for the service of a demo, and its keeper, by the demo.
const serviceVariable = "HANDOVER_DEMO"

// Serve is called first by a program that has the demo. If this process is a build of the demo's service, it serves, and
// reports true when it has ended, with the exit status.
func Serve(ctx context.Context) (status int, served bool) {
	if os.Getenv(serviceVariable) == "" {
		return 0, false
	}
	return serveBuild(ctx)
}
