package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// What breaks a link. All are wrapped with what was seen.
var (
	ErrMalformed = errors.New("malformed frame")
	ErrTooLarge  = errors.New("frame too large")
)

const (
	headerSize = 16

	// MaxPayload bounds the payload of a frame, in bytes, and with it what a hostile peer can make a receiver hold.
	MaxPayload = 1 << 20

	// MaxBatch is how many descriptors one LISTENERS or CONN frame carries at most: well under the kernel's 253
	// (SCM_MAX_FD, include/net/scm.h), and few enough to stay in flight under a small RLIMIT_NOFILE.
	MaxBatch = 64

	maxDescriptors = 253
)

// Kind is a frame's kind, the numbers of SPEC.md section 4.
type Kind uint16

// The kinds of protocol 1.
const (
	KindHello Kind = 1 + iota
	KindOffer
	KindListeners
	KindAck
	KindAdopted
	KindCarry
	KindPreview
	KindReady
	KindFreeze
	KindImported
	KindCommit
	KindServing
	KindFinal
	KindConn
	KindConnAck
	KindGone
	KindAbort
	KindResume
	KindReturn
	KindReturned
	KindRedirect
	KindPing
	KindPong
	KindStatus
	KindUpgrade
	KindStop
	KindReply
	KindRegister
	KindVote
	KindResumed
	KindSuccessor
	KindState
	KindStats
)

var kindNames = [...]string{
	KindHello: "HELLO", KindOffer: "OFFER", KindListeners: "LISTENERS", KindAck: "ACK", KindAdopted: "ADOPTED",
	KindCarry: "CARRY", KindPreview: "PREVIEW", KindReady: "READY", KindFreeze: "FREEZE", KindImported: "IMPORTED",
	KindCommit: "COMMIT", KindServing: "SERVING", KindFinal: "FINAL", KindConn: "CONN", KindConnAck: "CONN_ACK",
	KindGone: "GONE", KindAbort: "ABORT", KindResume: "RESUME", KindReturn: "RETURN", KindReturned: "RETURNED",
	KindRedirect: "REDIRECT", KindPing: "PING", KindPong: "PONG", KindStatus: "STATUS", KindUpgrade: "UPGRADE",
	KindStop: "STOP", KindReply: "REPLY", KindRegister: "REGISTER", KindVote: "VOTE", KindResumed: "RESUMED",
	KindSuccessor: "SUCCESSOR", KindState: "STATE", KindStats: "STATS",
}

func (k Kind) String() string {
	if k > 0 && int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", uint16(k))
}

var magic = [4]byte{'H', 'O', 'V', 'R'}

const flagCritical = 1

// header is what precedes every payload.
type header struct {
	kind        Kind
	critical    bool
	descriptors int
	attempt     uint32
	length      int
}

func (h header) append(b []byte) []byte {
	var flags byte
	if h.critical {
		flags |= flagCritical
	}
	b = append(b, magic[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(h.kind))
	b = append(b, flags, byte(h.descriptors))
	b = binary.BigEndian.AppendUint32(b, h.attempt)
	return binary.BigEndian.AppendUint32(b, uint32(h.length))
}

// parseHeader reads a header from the first headerSize bytes of b.
func parseHeader(b []byte) (header, error) {
	if [4]byte(b[:4]) != magic {
		return header{}, fmt.Errorf("%w: begins with % x, not with %q", ErrMalformed, b[:4], magic)
	}
	h := header{
		kind:        Kind(binary.BigEndian.Uint16(b[4:])),
		critical:    b[6]&flagCritical != 0,
		descriptors: int(b[7]),
		attempt:     binary.BigEndian.Uint32(b[8:]),
	}
	length := binary.BigEndian.Uint32(b[12:])
	if length > MaxPayload {
		return header{}, fmt.Errorf("%w: %s of %d bytes, at most %d", ErrTooLarge, h.kind, length, MaxPayload)
	}
	if h.descriptors > maxDescriptors {
		return header{}, fmt.Errorf("%w: %s with %d descriptors, at most %d", ErrMalformed, h.kind, h.descriptors, maxDescriptors)
	}
	h.length = int(length)
	return h, nil
}
