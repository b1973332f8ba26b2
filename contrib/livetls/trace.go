package livetls

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"net"
	"slices"

	"github.com/handover-go/handover/contrib/livetls/internal/record"
)

// Records (RFC 8446, section 5.1) and the beginning of ServerHello (section 4.1.3).
const (
	headerSize      = 5
	typeHandshake   = 22
	typeApplication = 23
	serverHello     = 2
	beforeSession   = 4 + 2 + 32 // header of the message, version, random
)

// trace stands below crypto/tls while it shakes hands. It hands it one record per read, so that behind the handshake nothing is left in it,
// and counts the records that it seals with the application secret: the tickets behind the server's Finished.
type trace struct {
	net.Conn
	over bool // the handshake is, and everything passes through

	room    []byte // for what comes from the kernel
	unread  []byte // of that, not yet crypto/tls's
	rest    int    // bytes that are still to come of the record that crypto/tls reads
	suite   uint16 // of ServerHello
	in, out []byte // the application secrets, once crypto/tls has them
	sealing *record.Half
	broken  bool   // a record went out in part, or was not understood
	why     string // the connection is to stay
}

// Read implements net.Conn.
func (t *trace) Read(p []byte) (int, error) {
	if t.over && len(t.unread) == 0 {
		return t.Conn.Read(p)
	}
	for !t.over && t.rest == 0 && len(t.unread) < headerSize || t.rest > 0 && len(t.unread) == 0 {
		if t.room == nil {
			t.room = make([]byte, readSize)
		}
		begun := copy(t.room, t.unread) // a part of a header at most
		n, err := t.Conn.Read(t.room[begun:])
		t.unread = t.room[:begun+n]
		if n == 0 && err != nil {
			return 0, err
		}
	}
	n := len(t.unread)
	if !t.over {
		if t.rest == 0 {
			t.rest = headerSize + int(binary.BigEndian.Uint16(t.unread[3:]))
		}
		n = min(n, t.rest)
	}
	n = copy(p, t.unread[:n])
	t.unread, t.rest = t.unread[n:], max(t.rest-n, 0)
	return n, nil
}

// readSize is how much is read at once: what a client says in a handshake mostly fits.
const readSize = 2 << 10

// Write implements net.Conn. crypto/tls writes whole records.
func (t *trace) Write(p []byte) (int, error) {
	n, err := t.Conn.Write(p)
	if t.over || t.why != "" {
		return n, err
	}
	t.broken = t.broken || n < len(p)
	for written := p; len(written) > 0 && !t.broken; {
		if len(written) < headerSize {
			t.broken = true
			break
		}
		size := headerSize + int(binary.BigEndian.Uint16(written[3:]))
		if size > len(written) {
			t.broken = true
			break
		}
		t.wrote(written[:size])
		written = written[size:]
	}
	return n, err
}

// wrote looks at a record that went out.
func (t *trace) wrote(r []byte) {
	body := r[headerSize:]
	switch r[0] {
	case typeHandshake:
		if len(body) > beforeSession && body[0] == serverHello {
			if at := beforeSession + 1 + int(body[beforeSession]); at+2 <= len(body) {
				t.suite = binary.BigEndian.Uint16(body[at:])
			}
		}
	case typeApplication:
		if t.sealing == nil && t.out != nil {
			sealing, err := record.NewHalf(t.suite, t.out, 0)
			if err != nil {
				t.broken = true
				return
			}
			t.sealing = sealing
		}
		// Those before are sealed with the secret of the handshake. A Writer does not change what it is given.
		if t.sealing != nil && t.sealing.Opens(r) {
			_, _, err := t.sealing.Open(bytes.Clone(r))
			t.broken = err != nil
		}
	}
}

// finish lets everything through from now on.
func (t *trace) finish() { t.over = true }

// forget overwrites the secrets.
func (t *trace) forget() {
	clear(t.in)
	clear(t.out)
	if t.sealing != nil {
		t.sealing.Clear()
	}
	t.in, t.out, t.sealing = nil, nil, nil
}

// remainder is what was read of the client's bytes and not used.
func (t *trace) remainder() []byte {
	r := t.unread
	t.room, t.unread = nil, nil
	if len(r) == 0 {
		return nil
	}
	return r
}

// establish is what a connection of one of those protocols, or of none, goes on with, or tells why it stays with crypto/tls. Of the secrets nothing is
// left in t.
func (t *trace) establish(state tls.ConnectionState, protocols []string) (*established, string) {
	defer t.forget()
	switch {
	case t.why != "":
		return nil, t.why
	case state.Version != tls.VersionTLS13:
		return nil, whyVersion
	case state.NegotiatedProtocol != "" && !slices.Contains(protocols, state.NegotiatedProtocol):
		return nil, whyProtocol
	case own(&state) > maxOwn:
		return nil, whySize
	case t.broken || t.rest > 0 || t.in == nil || t.out == nil || t.suite != state.CipherSuite:
		return nil, whyHandshake
	}
	in, err := record.NewHalf(t.suite, t.in, 0)
	if err != nil {
		return nil, whyHandshake
	}
	out := t.sealing
	if t.sealing = nil; out == nil { // no ticket was sent
		if out, err = record.NewHalf(t.suite, t.out, 0); err != nil {
			in.Clear()
			return nil, whyHandshake
		}
	}
	return &established{record: record.State{In: in, Out: out}, tls: state, handed: make(chan struct{})}, ""
}

// NetConn returns the connection below.
func (t *trace) NetConn() net.Conn { return t.Conn }
