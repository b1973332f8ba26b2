package record

import (
	"errors"
	"fmt"
	"net"
	"slices"
)

// Why a Conn stays where it is.
var (
	errReading     = errors.New("a read is under way")
	errNotified    = errors.New("close_notify was sent")
	errHalfMessage = errors.New("a handshake message has come in part")
)

// State is all that there is of a connection between two reads: what [Continue] goes on with. Whoever has it is to use it once, as two
// that sealed with one secret and number would give the key away, and to clear it when it is passed on.
type State struct {
	In, Out *Half
	Raw     []byte // records that were read and not opened, the last of them perhaps in part; less than 18 KiB
	Plain   []byte // content that was opened and not read, at most 16 KiB unless Continue was given more; it comes before what Raw holds
	Owes    bool   // the client has asked for a KeyUpdate, which is to be sent before anything else
}

// Opened is how many bytes State.Plain would have now. While a Read is under way it is 0.
func (c *Conn) Opened() int {
	if !c.in.TryLock() {
		return 0
	}
	defer c.unlockIn()
	return len(c.in.plain)
}

// Detach ends the Conn without a word to the client, and returns what another goes on with. From then on Read, Write and the rest
// fail with [net.ErrClosed], Close does not touch the connection below, which is the caller's, with the deadlines that it has, and the
// Conn has nothing of the secrets.
//
// It waits for a Write that is under way, for as long as the write deadline lets that take. On an error nothing has happened, and the
// Conn goes on: when a Read is under way, when a handshake message has come in part, or when either direction has ended, well or
// badly, as a client that has got a part of a write cannot be served by anyone.
func (c *Conn) Detach() (State, error) {
	if !c.in.TryLock() {
		return State{}, fmt.Errorf("detach: %w", errReading)
	}
	defer c.unlockIn()
	c.out.Lock()
	defer c.unlockOut()
	if err := c.detachable(); err != nil {
		return State{}, fmt.Errorf("detach: %w", err)
	}
	if !c.end() {
		return State{}, fmt.Errorf("detach: %w", net.ErrClosed)
	}
	s := State{
		In:    c.in.half,
		Out:   c.out.half,
		Raw:   slices.Clone(c.in.raw),
		Plain: slices.Clone(c.in.plain),
		Owes:  c.out.owes.Load(),
	}
	c.in.half, c.out.half = nil, nil
	c.in.wipe()
	return s, nil
}

func (c *Conn) detachable() error {
	switch {
	case c.over.Load():
		return net.ErrClosed
	case c.in.err != nil:
		return c.in.err
	case c.out.err != nil:
		return c.out.err
	case c.out.notified:
		return errNotified
	case c.in.message.size > 0:
		return errHalfMessage
	}
	return nil
}
