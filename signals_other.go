//go:build !unix

package handover

import "os"

var (
	defaultUpgradeSignals []os.Signal
	defaultStopSignals    = []os.Signal{os.Interrupt}
)
