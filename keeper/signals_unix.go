//go:build unix

package keeper

import (
	"os"
	"syscall"
)

var (
	upgradeSignals = []os.Signal{syscall.SIGUSR2}
	passedOn       = []os.Signal{syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGQUIT, syscall.SIGWINCH} // to the generation that serves
	childSignals   = []os.Signal{syscall.SIGCHLD}
)
