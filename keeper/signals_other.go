//go:build !unix

package keeper

import "os"

// New answers errors.ErrUnsupported here.
var upgradeSignals, passedOn, childSignals []os.Signal
