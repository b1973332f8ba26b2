package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Carry is one chunk of carried state.
type Carry struct {
	FirstChunk bool // of its item
	LastChunk  bool // of its item
	EndOfRound bool // nothing more until the next round
	Schema     uint32
	Name       string // of the item; at most 65535 bytes
	Data       []byte
}

// ConnKind says how the receiver of a connection is to go on with it.
type ConnKind uint8

// The kinds of protocol 1.
const (
	ConnHTTP1   ConnKind = 1 // plain HTTP/1.1, at its idle point
	ConnSession ConnKind = 2 // the application's own protocol, where it let go
)

// Conn is an established connection on its way; its descriptor rides on the frame, in the same order.
type Conn struct {
	ID     uint64 // unique on its link
	Key    string // of the listener it was accepted on
	Type   ConnKind
	Name   string        // of the session's kind
	Fresh  bool          // no request was read on it yet
	Wait   time.Duration // what remains of the deadline for the next byte; 0: none
	Age    time.Duration // since it was accepted
	Unread []byte        // bytes read from the kernel that the service has not seen
	State  []byte        // of a session, in its owner's format
}

// Forget overwrites what may be secret of a connection that is not taken: it goes on elsewhere.
func (c Conn) Forget() {
	clear(c.Unread)
	clear(c.State)
}

// Conns is a batch of connections, at most MaxBatch.
type Conns struct{ Conns []Conn }

// Verdict is what the receiver makes of a connection.
type Verdict uint8

// The verdicts of protocol 1.
const (
	Accepted Verdict = 1 // it is the receiver's now
	Retry    Verdict = 2 // not now: ask again, or go on with it
	Refused  Verdict = 3 // never: go on with it, and of sessions with all of its kind
	Declined Verdict = 4 // never this one, which the receiver has looked at: go on with it
)

// ConnVerdict is the verdict on one connection.
type ConnVerdict struct {
	ID      uint64
	Verdict Verdict
}

// Verdicts answers Conns.
type Verdicts struct{ Verdicts []ConnVerdict }

func (*Carry) Kind() Kind    { return KindCarry }
func (*Conns) Kind() Kind    { return KindConn }
func (*Verdicts) Kind() Kind { return KindConnAck }

const (
	carryFirst = 1 << iota
	carryLast
	carryEnd
)

const connFresh = 1

var errShort = errors.New("ends too early")

func (c *Carry) appendTo(b []byte) ([]byte, error) {
	if len(c.Name) > math.MaxUint16 {
		return nil, fmt.Errorf("name of %d bytes, at most %d", len(c.Name), math.MaxUint16)
	}
	b = append(b, flag(carryFirst, c.FirstChunk)|flag(carryLast, c.LastChunk)|flag(carryEnd, c.EndOfRound))
	b = binary.BigEndian.AppendUint32(b, c.Schema)
	b = binary.BigEndian.AppendUint16(b, uint16(len(c.Name)))
	b = append(b, c.Name...)
	return append(b, c.Data...), nil
}

func (c *Carry) parse(b []byte) error {
	r := reader{b: b}
	flags := r.uint8()
	c.FirstChunk, c.LastChunk, c.EndOfRound = flags&carryFirst != 0, flags&carryLast != 0, flags&carryEnd != 0
	c.Schema = r.uint32()
	c.Name = string(r.bytes(int(r.uint16())))
	c.Data = r.bytes(len(r.b))
	return r.err
}

func (c *Conns) appendTo(b []byte) ([]byte, error) {
	if len(c.Conns) > MaxBatch {
		return nil, fmt.Errorf("%d connections, at most %d", len(c.Conns), MaxBatch)
	}
	b = slices.Grow(b, c.size()) // at once: a slice that grows leaves copies behind of what may be secret
	b = binary.BigEndian.AppendUint16(b, uint16(len(c.Conns)))
	for _, conn := range c.Conns {
		if len(conn.Key) > math.MaxUint16 || len(conn.Name) > math.MaxUint16 {
			return nil, fmt.Errorf("key of %d bytes and name of %d, at most %d", len(conn.Key), len(conn.Name), math.MaxUint16)
		}
		b = binary.BigEndian.AppendUint64(b, conn.ID)
		b = binary.BigEndian.AppendUint16(b, uint16(len(conn.Key)))
		b = append(b, conn.Key...)
		b = append(b, byte(conn.Type))
		b = binary.BigEndian.AppendUint16(b, uint16(len(conn.Name)))
		b = append(b, conn.Name...)
		b = append(b, flag(connFresh, conn.Fresh))
		b = binary.BigEndian.AppendUint64(b, uint64(max(conn.Wait, 0)))
		b = binary.BigEndian.AppendUint64(b, uint64(max(conn.Age, 0)))
		b = binary.BigEndian.AppendUint32(b, uint32(len(conn.Unread)))
		b = append(b, conn.Unread...)
		b = binary.BigEndian.AppendUint32(b, uint32(len(conn.State)))
		b = append(b, conn.State...)
	}
	return b, nil
}

// size is at least how long the payload is.
func (c *Conns) size() int {
	n := 2
	for _, conn := range c.Conns {
		n += 64 + len(conn.Key) + len(conn.Name) + len(conn.Unread) + len(conn.State)
	}
	return n
}

func (c *Conns) parse(b []byte) error {
	r := reader{b: b}
	n := int(r.uint16())
	if n > MaxBatch {
		return fmt.Errorf("%d connections, at most %d", n, MaxBatch)
	}
	for range n {
		conn := Conn{ID: r.uint64()}
		conn.Key = string(r.bytes(int(r.uint16())))
		conn.Type = ConnKind(r.uint8())
		conn.Name = string(r.bytes(int(r.uint16())))
		conn.Fresh = r.uint8()&connFresh != 0
		conn.Wait = r.duration()
		conn.Age = r.duration()
		conn.Unread = r.bytes(int(r.uint32()))
		conn.State = r.bytes(int(r.uint32()))
		if r.err != nil {
			return r.err
		}
		c.Conns = append(c.Conns, conn)
	}
	return r.done()
}

func (v *Verdicts) appendTo(b []byte) ([]byte, error) {
	if len(v.Verdicts) > MaxBatch {
		return nil, fmt.Errorf("%d verdicts, at most %d", len(v.Verdicts), MaxBatch)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(v.Verdicts)))
	for _, verdict := range v.Verdicts {
		b = binary.BigEndian.AppendUint64(b, verdict.ID)
		b = append(b, byte(verdict.Verdict))
	}
	return b, nil
}

func (v *Verdicts) parse(b []byte) error {
	r := reader{b: b}
	n := int(r.uint16())
	if n > MaxBatch {
		return fmt.Errorf("%d verdicts, at most %d", n, MaxBatch)
	}
	for range n {
		verdict := ConnVerdict{ID: r.uint64(), Verdict: Verdict(r.uint8())}
		if r.err != nil {
			return r.err
		}
		if verdict.Verdict < Accepted || verdict.Verdict > Declined {
			return fmt.Errorf("verdict %d", verdict.Verdict)
		}
		v.Verdicts = append(v.Verdicts, verdict)
	}
	return r.done()
}

func flag(bit byte, set bool) byte {
	if set {
		return bit
	}
	return 0
}

// reader takes values off the front of a payload; after the first that does not fit, err is set and every value is zero.
type reader struct {
	b   []byte
	err error
}

func (r *reader) bytes(n int) []byte {
	// A length of four bytes is negative in an int of 32 bits.
	if r.err == nil && (n < 0 || n > len(r.b)) {
		r.err = errShort
	}
	if r.err != nil {
		return nil
	}
	taken := r.b[:n:n]
	r.b = r.b[n:]
	return taken
}

func (r *reader) uint8() uint8 {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if b := r.bytes(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.bytes(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.bytes(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) duration() time.Duration {
	d := r.uint64()
	if d > math.MaxInt64 {
		r.err = fmt.Errorf("duration of %d nanoseconds", d)
		return 0
	}
	return time.Duration(d)
}

func (r *reader) done() error {
	if r.err == nil && len(r.b) > 0 {
		return fmt.Errorf("%d bytes too many", len(r.b))
	}
	return r.err
}
