package record

import (
	"crypto/tls"
	"io"
)

// A KeyUpdate is one byte behind the header of all handshake messages: a type and three bytes of length (RFC 8446, 4 and 4.6.3).
const (
	messageKeyUpdate   = 24
	messageHeader      = 4
	updateNotRequested = 0
	updateRequested    = 1
)

// keyUpdate is the one that is sent, be it an answer or of our own accord.
var keyUpdate = []byte{messageKeyUpdate, 0, 0, 1, updateNotRequested}

// message is a KeyUpdate, as far as it has come: no other message may come from a client after its Finished, as none of those that
// it could answer was sent.
type message struct {
	bytes [messageHeader + 1]byte
	size  int
}

// add takes in the content of one record, and reports whether the message is whole. RFC 8446, 5.1: it may come in parts, none of
// them empty, and its end is the end of a record, as the next is under another key.
func (m *message) add(content []byte) (whole bool, err error) {
	n := copy(m.bytes[m.size:], content)
	m.size += n
	length := int(m.bytes[1])<<16 | int(m.bytes[2])<<8 | int(m.bytes[3])
	switch {
	case len(content) == 0 || m.bytes[0] != messageKeyUpdate:
		return false, alertUnexpectedMessage
	case m.size >= messageHeader && length != 1:
		return false, alertDecodeError
	case len(content) > n:
		return false, alertUnexpectedMessage
	case m.size < len(m.bytes):
		return false, nil
	case m.bytes[messageHeader] > updateRequested:
		return false, alertIllegalParameter
	}
	return true, nil
}

// handshake takes in a record of handshake messages. An answer is not written but owed: RFC 8446, 4.6.3, wants it before the next
// content only, and one for however many requests.
func (c *Conn) handshake(content []byte) error {
	m := &c.in.message
	if whole, err := m.add(content); !whole {
		return err
	}
	requested := m.bytes[messageHeader] == updateRequested
	*m = message{}
	if err := c.in.uselessRecord(); err != nil {
		return err
	}
	if err := c.in.half.Next(); err != nil {
		return err
	}
	if requested {
		c.out.owes.Store(true)
	}
	return nil
}

// alerted takes in a record of alerts, which holds exactly one (RFC 8446, 5.1). Its level means nothing, and one that is not known is
// as good as any (6).
func (c *Conn) alerted(content []byte) error {
	if len(content) == 0 {
		return alertUnexpectedMessage
	}
	if len(content) != 2 {
		return alertDecodeError
	}
	switch alert := tls.AlertError(content[1]); alert {
	case alertCloseNotify:
		c.in.finish(io.EOF)
		return nil
	case alertUserCanceled:
		return c.in.uselessRecord() // close_notify follows it
	default:
		c.in.finish(received(alert))
		c.ruin(c.in.err)
		return nil
	}
}
