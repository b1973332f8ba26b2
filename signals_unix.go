//go:build unix

package handover

import (
	"os"
	"syscall"
)

var (
	defaultUpgradeSignals = []os.Signal{syscall.SIGUSR2}
	defaultStopSignals    = []os.Signal{syscall.SIGTERM, syscall.SIGINT}
)
