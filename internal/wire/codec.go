package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// ErrCritical is wrapped when a peer needs something that is not known here and must not be ignored.
var ErrCritical = errors.New("critical and unknown here")

// errUnknownKind marks a frame that may be skipped.
var errUnknownKind = errors.New("unknown kind")

var newMessage = map[Kind]func() Message{
	KindHello: func() Message { return new(Hello) }, KindOffer: func() Message { return new(Offer) },
	KindListeners: func() Message { return new(Listeners) }, KindAck: func() Message { return new(Ack) },
	KindAdopted: func() Message { return new(Adopted) }, KindCarry: func() Message { return new(Carry) },
	KindPreview: func() Message { return new(Preview) }, KindReady: func() Message { return new(Ready) },
	KindFreeze: func() Message { return new(Freeze) }, KindImported: func() Message { return new(Imported) },
	KindCommit: func() Message { return new(Commit) }, KindServing: func() Message { return new(Serving) },
	KindFinal: func() Message { return new(Final) }, KindConn: func() Message { return new(Conns) },
	KindConnAck: func() Message { return new(Verdicts) }, KindGone: func() Message { return new(Gone) },
	KindAbort: func() Message { return new(Abort) }, KindResume: func() Message { return new(Resume) },
	KindReturn: func() Message { return new(Return) }, KindReturned: func() Message { return new(Returned) },
	KindRedirect: func() Message { return new(Redirect) }, KindPing: func() Message { return new(Ping) },
	KindPong: func() Message { return new(Pong) }, KindStatus: func() Message { return new(Status) },
	KindUpgrade: func() Message { return new(Upgrade) }, KindStop: func() Message { return new(Stop) },
	KindReply: func() Message { return new(Reply) }, KindRegister: func() Message { return new(Register) },
	KindVote: func() Message { return new(Vote) }, KindResumed: func() Message { return new(Resumed) },
	KindSuccessor: func() Message { return new(Successor) }, KindState: func() Message { return new(State) },
	KindStats: func() Message { return new(Stats) },
}

// binaryMessage is a bulk frame: it lays itself out.
type binaryMessage interface {
	Message
	appendTo(b []byte) ([]byte, error)
	parse(b []byte) error
}

func encode(m Message) ([]byte, error) {
	if b, ok := m.(binaryMessage); ok {
		return b.appendTo(nil)
	}
	return json.Marshal(m)
}

// decode gives the payload of a frame its meaning. The error wraps ErrMalformed or ErrCritical, or is errUnknownKind.
func decode(h header, payload []byte) (Message, error) {
	create, known := newMessage[h.kind]
	if !known {
		if h.critical {
			return nil, fmt.Errorf("frame of %s: %w", h.kind, ErrCritical)
		}
		return nil, errUnknownKind
	}
	m := create()
	if b, ok := m.(binaryMessage); ok {
		if err := b.parse(payload); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrMalformed, h.kind, err)
		}
		return m, nil
	}
	if len(payload) == 0 {
		return m, nil
	}
	if err := json.Unmarshal(payload, m); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMalformed, h.kind, err)
	}
	// Protocol 1 has no critical key of its own, so any is unknown.
	if key := criticalKey(payload); key != "" {
		return m, fmt.Errorf("key %q of %s: %w", key, h.kind, ErrCritical)
	}
	return m, nil
}

// criticalKey returns a key of the object whose name begins with "!", or "".
func criticalKey(object []byte) string {
	if !bytes.ContainsRune(object, '!') && !bytes.Contains(object, []byte(`\u`)) {
		return ""
	}
	var keys map[string]json.RawMessage
	if json.Unmarshal(object, &keys) != nil {
		return ""
	}
	for key := range keys {
		if strings.HasPrefix(key, "!") {
			return key
		}
	}
	return ""
}
