//go:build !unix

package keeper

import (
	"os"
	"syscall"
)

// New answers errors.ErrUnsupported here.
var upgradeSignals, passedOn, childSignals []os.Signal

const (
	upgradeSignal = syscall.Signal(0)
	retireSignal  = syscall.Signal(0)
	wakeSignal    = syscall.Signal(0)
	reopenSignal  = syscall.Signal(0)
)

var endings map[string]syscall.Signal
