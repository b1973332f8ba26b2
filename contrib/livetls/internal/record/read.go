package record

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
)

// directSize is how much room the caller of Read has to offer for the kernel to be read into it. An idle connection then holds no
// buffer of ours while it waits.
const directSize = 512

// Read implements net.Conn. At the end it returns [io.EOF] after a close_notify and, as crypto/tls does, when the connection below
// ends between two records; [io.ErrUnexpectedEOF] when it ends within one. After a deadline it can go on. All of p may be
// overwritten.
func (c *Conn) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.in.Lock()
	defer c.unlockIn()
	for n == 0 && err == nil {
		n, err = c.next(p)
	}
	return n, err
}

// ReadRecord is Read, but that it returns 0 and nil behind a record that has brought nothing, unless another record or a message has
// come in part: so who waits for records in a way of his own, to detach the Conn meanwhile, can do so again.
func (c *Conn) ReadRecord(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.in.Lock()
	defer c.unlockIn()
	return c.next(p)
}

// next reads until there is content, or until a record has brought none and nothing is in hand.
func (c *Conn) next(p []byte) (int, error) {
	for opened := false; ; {
		if c.over.Load() {
			return 0, net.ErrClosed
		}
		if n := c.in.take(p); n > 0 {
			return n, nil
		}
		if c.in.err != nil {
			return 0, c.in.err
		}
		if opened && len(c.in.raw) == 0 && c.in.message.size == 0 {
			return 0, nil
		}
		record, dst, err := c.record(p)
		if err == nil && record != nil {
			var n int
			if n, err = c.open(p, dst, record); n > 0 {
				return n, nil
			}
			opened = true
		}
		if err != nil {
			return 0, c.readFailed(err)
		}
	}
}

// Pending reports whether a Read would find something without reading from below: content, or a whole record. While a Read is under
// way it is false: that Read waits for more.
func (c *Conn) Pending() bool {
	if !c.in.TryLock() {
		return false
	}
	defer c.unlockIn()
	size, err := measure(c.in.raw)
	return len(c.in.plain) > 0 || err != nil || size > 0 && size <= len(c.in.raw)
}

// record returns the next record, and where it is to be opened to; none when there is not all of it yet.
func (c *Conn) record(p []byte) (record, dst []byte, err error) {
	size, err := measure(c.in.raw)
	switch {
	case err != nil:
		return nil, nil, err
	case size > 0 && size <= len(c.in.raw):
		record, c.in.raw = c.in.raw[:size], c.in.raw[size:]
		if len(p) >= size-headerSize-tagSize {
			return record, p[:0], nil
		}
	case len(c.in.raw) == 0 && len(p) >= directSize:
		n, err := c.below.Read(p[:min(len(p), maxRecord)])
		if n == 0 {
			return nil, nil, err
		}
		if size, err = measure(p[:n]); err != nil {
			return nil, nil, err
		}
		if size == 0 || size > n {
			c.in.keep(p[:n])
			return nil, nil, nil
		}
		c.in.keep(p[size:n])
		record = p[:size]
	default:
		// An error that came with bytes comes again without.
		n, err := c.below.Read(c.in.room(max(size, headerSize)))
		if n == 0 {
			c.in.settle()
			return nil, nil, err
		}
		c.in.raw = c.in.raw[:len(c.in.raw)+n]
		return nil, nil, nil
	}
	return record, record[headerSize:headerSize], nil
}

// open opens a record to dst, which lies in p or in the buffer, and does as it says. It returns how much of p it has filled.
func (c *Conn) open(p, dst, record []byte) (n int, err error) {
	defer c.in.settle()
	typ, content, err := c.in.half.open(dst, record)
	if err != nil {
		return 0, err
	}
	if typ != typeHandshake && c.in.message.size > 0 {
		return 0, alertUnexpectedMessage // RFC 8446, 5.1: nothing comes between the parts of a message
	}
	switch typ {
	case typeApplicationData:
		if len(content) == 0 {
			return 0, c.in.uselessRecord()
		}
		c.in.useless = 0
		n = copy(p, content)
		c.in.plain = content[n:]
		return n, nil
	case typeHandshake:
		return 0, c.handshake(content)
	case typeAlert:
		return 0, c.alerted(content)
	}
	return 0, alertUnexpectedMessage
}

// readFailed returns the error of Read. All but that of a deadline is for good.
func (c *Conn) readFailed(err error) error {
	if c.over.Load() {
		return net.ErrClosed
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return err // another timeout, ETIMEDOUT, is the kernel's own end of the connection
	}
	if alert, ok := errors.AsType[tls.AlertError](err); ok {
		err = c.refuse(alert)
	} else if errors.Is(err, io.EOF) && (len(c.in.raw) > 0 || c.in.message.size > 0) {
		err = io.ErrUnexpectedEOF
	}
	c.in.finish(err)
	return err
}
