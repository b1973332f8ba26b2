//go:build !linux

package handovertest

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"syscall"
)

const (
	sigUpgrade = syscall.SIGTERM // never sent: no family starts here
	sigEnd     = syscall.SIGTERM
)

// family needs /proc and a subreaper, which are Linux's.
type family struct{ leader int }

var errNoFamily = fmt.Errorf("processes of a service on %s: %w", runtime.GOOS, errors.ErrUnsupported)

func startFamily(*exec.Cmd) (*family, error)     { return nil, errNoFamily }
func (*family) processes() ([]Process, error)    { return nil, errNoFamily }
func (*family) signal(int, syscall.Signal) error { return errNoFamily }
func (*family) gone(context.Context) error       { return errNoFamily }
func (*family) kill(context.Context) error       { return errNoFamily }
func exited(context.Context, int) error          { return errNoFamily }
func openFDs(int) (int, error)                   { return 0, errNoFamily }
