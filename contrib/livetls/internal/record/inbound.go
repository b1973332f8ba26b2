package record

import "sync"

// maxUseless is how many records in a row may bring nothing, as in crypto/tls: a client could keep a reader busy with them for ever.
const maxUseless = 16

// inbound is what the reading side has in hand. It holds a buffer only while there is something in it.
type inbound struct {
	sync.Mutex
	half    *Half
	buffer  *buffer
	raw     []byte  // read, and not opened: in buffer
	plain   []byte  // opened, and not read: in buffer before raw, or a State's
	message message // a handshake message, as far as it has come
	useless int     // records that brought nothing, in a row
	err     error   // for good; a close_notify's is io.EOF
}

// take moves content to p.
func (in *inbound) take(p []byte) int {
	if len(in.plain) == 0 {
		return 0
	}
	n := copy(p, in.plain)
	in.plain = in.plain[n:]
	in.settle()
	return n
}

// keep buffers what was read elsewhere, while nothing else is.
func (in *inbound) keep(raw []byte) {
	if len(raw) > 0 {
		in.buffer = getBuffer(len(raw))
		in.raw = in.buffer.bytes[:copy(in.buffer.bytes, raw)]
	}
}

// room returns space behind raw, while there is no content. There is enough for raw to become as long as a record that is to come.
func (in *inbound) room(record int) []byte {
	old := in.buffer
	if old == nil || len(old.bytes) < record {
		in.buffer = getBuffer(max(record, smallBuffer))
	}
	in.raw = in.buffer.bytes[:copy(in.buffer.bytes, in.raw)]
	if old != nil && old != in.buffer {
		old.put()
	}
	return in.raw[len(in.raw):cap(in.raw)]
}

// settle gives the buffer back if nothing is in it.
func (in *inbound) settle() {
	if len(in.plain) > 0 {
		return
	}
	in.plain = nil
	if in.buffer != nil && len(in.raw) == 0 {
		in.raw = nil
		in.buffer.put()
		in.buffer = nil
	}
}

// wipe overwrites what there is of the connection: content, records and secret.
func (in *inbound) wipe() {
	clear(in.plain)
	if in.buffer != nil {
		clear(in.buffer.bytes)
	}
	in.plain, in.raw, in.message = nil, nil, message{}
	in.settle()
	if in.half != nil {
		in.half.Clear()
	}
}

// finish ends this side for good.
func (in *inbound) finish(err error) {
	in.err, in.raw = err, nil
	in.settle()
}

// uselessRecord counts one that has brought nothing.
func (in *inbound) uselessRecord() error {
	if in.useless++; in.useless > maxUseless {
		return alertUnexpectedMessage
	}
	return nil
}

// unlockIn is the end of whoever held the lock. If the Conn was closed meanwhile, what Close could not wipe is wiped here: either
// it has found the lock free, or the Conn is found spent now.
func (c *Conn) unlockIn() {
	c.in.Unlock()
	if c.spent.Load() {
		c.wipeIn()
	}
}

func (c *Conn) wipeIn() {
	if c.in.TryLock() {
		c.in.wipe()
		c.in.Unlock()
	}
}
