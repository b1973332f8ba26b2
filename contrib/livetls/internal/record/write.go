package record

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// batch is how much content goes below in one write, in several records.
const batch = 4 * maxContent

// outbound is the writing side. Once a write below has failed, nobody can tell what the client got of it: err stands for good.
type outbound struct {
	sync.Mutex
	half     *Half
	owes     atomic.Bool // a KeyUpdate, to a client that asked for one
	notified bool        // close_notify was sent, or tried
	err      error
}

// Write implements net.Conn. Concurrent writes do not mix. After an error nothing can be written any more; up to 64 KiB more than
// the number returned may have reached the client.
func (c *Conn) Write(p []byte) (int, error) {
	c.out.Lock()
	defer c.unlockOut()
	if err := c.writable(); err != nil {
		return 0, err
	}
	for done := 0; done < len(p); {
		part := p[done:min(len(p), done+batch)]
		if err := c.out.write(c.below, typeApplicationData, part); err != nil {
			if c.over.Load() {
				err = net.ErrClosed
			}
			return done, err
		}
		done += len(part)
	}
	return len(p), nil
}

func (c *Conn) writable() error {
	switch {
	case c.over.Load():
		return net.ErrClosed
	case c.out.err != nil:
		return c.out.err
	case c.out.notified:
		return errWritingClosed
	}
	return nil
}

// write seals content of one type, at most a batch, and writes it below at once.
func (o *outbound) write(below net.Conn, typ byte, content []byte) error {
	records := (len(content) + maxContent - 1) / maxContent
	buffer := getBuffer(len(content) + (records+1)*overhead + len(keyUpdate))
	defer buffer.put()
	sealed, err := o.seal(buffer.bytes[:0], typ, content)
	if err == nil {
		var n int
		if n, err = below.Write(sealed); err == nil && n < len(sealed) {
			err = io.ErrShortWrite
		}
	}
	o.err = err
	return err
}

// seal appends content in as few records as possible.
func (o *outbound) seal(dst []byte, typ byte, content []byte) (_ []byte, err error) {
	for len(content) > 0 {
		if o.owes.Load() || o.half.worn() {
			// The request that comes now, if one does, is answered as well: this update comes after it.
			o.owes.Store(false)
			if dst, err = o.half.Seal(dst, typeHandshake, keyUpdate); err != nil {
				return nil, err
			}
			if err = o.half.Next(); err != nil {
				return nil, err
			}
		}
		n := min(len(content), maxContent)
		if dst, err = o.half.Seal(dst, typ, content[:n]); err != nil {
			return nil, err
		}
		content = content[n:]
	}
	return dst, nil
}

// wipe overwrites the secret.
func (o *outbound) wipe() {
	if o.half != nil {
		o.half.Clear()
	}
}

// refuse tells the client by an alert that it has done what it may not, and ends both directions.
func (c *Conn) refuse(alert tls.AlertError) error {
	err := sent(alert)
	c.part() // also for a Write under way, which would keep the alert waiting
	c.out.Lock()
	defer c.unlockOut()
	if c.writable() == nil {
		_ = c.out.write(c.below, typeAlert, alertContent(alert)) // the client may be gone
	}
	c.out.err = err
	return err
}

// ruin ends the writing side for what the reading side has heard.
func (c *Conn) ruin(err error) {
	c.part()
	c.out.Lock()
	defer c.unlockOut()
	c.out.err = err
}

// unlockOut is for this side what unlockIn is for the other.
func (c *Conn) unlockOut() {
	c.out.Unlock()
	if c.spent.Load() {
		c.wipeOut()
	}
}

func (c *Conn) wipeOut() {
	if c.out.TryLock() {
		c.out.wipe()
		c.out.Unlock()
	}
}
