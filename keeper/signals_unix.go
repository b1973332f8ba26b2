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

// What they mean to a master of nginx.
const (
	upgradeSignal = syscall.SIGUSR2
	retireSignal  = syscall.SIGWINCH // its workers finish, and it stands by
	wakeSignal    = syscall.SIGHUP   // it has workers again: those of before, while the next master lives
	reopenSignal  = syscall.SIGUSR1
)

// endings are the signals by which programs are told to end.
var endings = map[string]syscall.Signal{
	"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "QUIT": syscall.SIGQUIT, "HUP": syscall.SIGHUP, "USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2,
	"WINCH": syscall.SIGWINCH,
}
