package livetls

import (
	"maps"
	"sync"

	"github.com/handover-go/handover"
)

// Why connections stay with the generation that accepted them, and drain.
const (
	whyVersion   = "version"   // not TLS 1.3
	whyProtocol  = "protocol"  // not HTTP/1.1
	whyKeyLog    = "key_log"   // the configuration has a KeyLogWriter
	whyECH       = "ech"       // it has keys for Encrypted Client Hello
	whyFIPS      = "fips"      // FIPS 140-3 mode
	whySize      = "size"      // its client's certificates, and the name that it asked for, are too long
	whyWrapped   = "wrapped"   // not accepted by a listener of the process
	whyHandshake = "handshake" // secrets or numbers could not be established
)

// counts are the process's.
type counts struct {
	mu sync.Mutex
	handover.TLSFigures
}

var counted = counts{TLSFigures: handover.TLSFigures{Stayed: map[string]uint64{}}}

// Figures are those of this process. Reasons for which connections stay are version (not TLS 1.3), protocol (not HTTP/1.1), key_log (the
// configuration has a KeyLogWriter), ech (it has keys for Encrypted Client Hello), fips (FIPS 140-3 mode), size (the client's certificates, and the name
// that it asked for, are longer than 31 KiB), wrapped (not accepted by a listener of the process) and handshake (what it came to could not be established).
func Figures() handover.TLSFigures {
	counted.mu.Lock()
	defer counted.mu.Unlock()
	f := counted.TLSFigures
	f.Stayed = maps.Clone(f.Stayed)
	return f
}

func (c *counts) turnOff(why error) { c.change(func(f *handover.TLSFigures) { f.Off = why.Error() }) }
func (c *counts) stay(why string)   { c.change(func(f *handover.TLSFigures) { f.Stayed[why]++ }) }
func (c *counts) let()              { c.change(func(f *handover.TLSFigures) { f.Left++ }) }
func (c *counts) come()             { c.change(func(f *handover.TLSFigures) { f.Came++ }) }

func (c *counts) change(by func(*handover.TLSFigures)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	by(&c.TLSFigures)
}
