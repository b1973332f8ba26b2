package record

import (
	"fmt"
	"net"
)

// Close implements net.Conn. It sends a close_notify, for which it takes 5 seconds at most, and closes the connection below. If a
// Write is under way, it is there to break that: nothing is sent, as in crypto/tls. It does not wait for the Read or Write that it
// ends. A second Close, and that of a Conn that was detached, does nothing and returns [net.ErrClosed].
func (c *Conn) Close() error {
	if !c.end() {
		return net.ErrClosed
	}
	var unsent error
	if c.out.TryLock() {
		if c.out.err == nil {
			unsent = c.notifyLocked()
		}
		c.out.Unlock()
	}
	err := c.below.Close()
	c.spent.Store(true)
	c.wipeIn()
	c.wipeOut()
	if err == nil && unsent != nil {
		err = fmt.Errorf("send close_notify (the connection is closed all the same): %w", unsent)
	}
	return err
}

// CloseWrite sends a close_notify, for which it takes 5 seconds at most, after a Write that is under way. Nothing can be written
// any more; reading goes on. The connection below is not told.
func (c *Conn) CloseWrite() error {
	c.out.Lock()
	defer c.unlockOut()
	if c.over.Load() {
		return net.ErrClosed
	}
	if c.out.err != nil {
		return c.out.err
	}
	return c.notifyLocked()
}

// notifyLocked sends close_notify, once.
func (c *Conn) notifyLocked() error {
	if c.out.notified {
		return nil
	}
	c.out.notified = true
	c.part()
	return c.out.write(c.below, typeAlert, alertContent(alertCloseNotify))
}
