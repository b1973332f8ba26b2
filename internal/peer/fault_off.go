//go:build !handoverfault || !linux

package peer

import "github.com/handover-go/handover/internal/wire"

// faulty is where test builds (tag handoverfault) strike at a frame. Here it does nothing.
func faulty(t wire.Transport) wire.Transport { return t }
