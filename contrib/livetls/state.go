package livetls

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/handover-go/handover"
	"github.com/handover-go/handover/contrib/livetls/internal/record"
	"golang.org/x/crypto/cryptobyte"
)

// established is a connection behind its handshake, while no conn has it.
type established struct {
	record record.State
	tls    tls.ConnectionState
	came   *arrival      // of one that was another conn's before
	above  *session      // unless nil: of the program's, which goes on with the connection in place of net/http
	handed chan struct{} // unless nil: closed once net/http has it
}

// session is one of the program's that stands on the connection.
type session struct {
	kind  string
	state []byte
}

// arrival is what net/http's deadlines and its idle point need of the past.
type arrival struct {
	fresh bool          // no request was read yet
	age   time.Duration // since it was accepted
	wait  time.Duration // what remains of the deadline for its next byte; 0: none
}

// announce tells who waits for it, once, that net/http has the connection.
func (e *established) announce() {
	if e.handed != nil {
		close(e.handed)
	}
}

// clear overwrites the secrets.
func (e *established) clear() {
	for _, h := range []*record.Half{e.record.In, e.record.Out} {
		if h != nil {
			h.Clear()
		}
	}
	clear(e.record.Raw)
	clear(e.record.Plain)
	if e.above != nil {
		clear(e.above.state)
	}
}

// Of the encoding. Its version is in the kind of the sessions, too: who does not know it does not get them.
const (
	version    = 1
	flagOwes   = 1 << 0
	flagFresh  = 1 << 1
	flagResume = 1 << 2
	flagRetry  = 1 << 3 // HelloRetryRequest
	flagAbove  = 1 << 4 // a session stands on it
)

// encode writes what goes to another generation but for raw bytes, which travel as the session's unread ones. It holds secrets: the caller
// clears it.
func (e *established) encode() []byte {
	above := e.above
	if above == nil {
		above = &session{}
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, e.size())) // at once: a slice that grows leaves copies behind
	b.AddUint8(version)
	b.AddUint16(e.tls.CipherSuite)
	b.AddUint8(e.flags())
	b.AddUint64(uint64(max(e.came.age, 0)))
	b.AddUint64(uint64(max(e.came.wait, 0)))
	for _, h := range []*record.Half{e.record.In, e.record.Out} {
		secret := h.Secret()
		b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(secret) })
		clear(secret)
		b.AddUint64(h.Seq())
	}
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(e.record.Plain) })
	b.AddUint16(uint16(e.tls.CurveID))
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(e.tls.ServerName)) })
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(e.tls.NegotiatedProtocol)) })
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, c := range e.tls.PeerCertificates {
			b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(c.Raw) })
		}
	})
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(above.kind)) })
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(above.state) })
	return b.BytesOrPanic() // every length fits: crypto/tls has read them from the same fields
}

// maxOwn is how long the state of a connection may be without what one record brings and without a session that stands on it: with both it can go.
const maxOwn = handover.MaxCarrierState - handover.MaxSessionState - handover.MaxSessionUnread - 16<<10

// own is at least how long that part of the state is, which is the same for all of the connection's life.
func own(state *tls.ConnectionState) int {
	size := 1024 + len(state.ServerName) // with what has a bound below 256 each
	for _, c := range state.PeerCertificates {
		size += 3 + len(c.Raw)
	}
	return size
}

// size is at least how long the state is.
func (e *established) size() int {
	size := own(&e.tls) + len(e.record.Plain)
	if e.above != nil {
		size += len(e.above.state)
	}
	return size
}

func (e *established) flags() (f uint8) {
	for bit, set := range map[uint8]bool{
		flagOwes: e.record.Owes, flagFresh: e.came.fresh, flagResume: e.tls.DidResume, flagRetry: e.tls.HelloRetryRequest,
		flagAbove: e.above != nil,
	} {
		if set {
			f |= bit
		}
	}
	return f
}

var errState = errors.New("the state of a TLS connection is not one that this build reads")

// decode reads what encode has written. The secrets are copied.
func decode(state []byte) (*established, error) {
	e := &established{}
	if err := e.read(state); err != nil {
		return nil, err
	}
	return e, nil
}

// read is decode into e, of which nothing that is secret is left on an error.
func (e *established) read(s cryptobyte.String) (err error) {
	defer func() {
		if err != nil {
			e.clear()
		}
	}()
	var v, flags uint8
	var suite, curve uint16
	var age, wait uint64
	if !s.ReadUint8(&v) || v != version || !s.ReadUint16(&suite) || !s.ReadUint8(&flags) || !s.ReadUint64(&age) || !s.ReadUint64(&wait) {
		return errState
	}
	e.came = &arrival{fresh: flags&flagFresh != 0, age: time.Duration(age), wait: time.Duration(wait)}
	for _, h := range []**record.Half{&e.record.In, &e.record.Out} {
		var secret cryptobyte.String
		var seq uint64
		if !s.ReadUint8LengthPrefixed(&secret) || !s.ReadUint64(&seq) {
			return errState
		}
		half, err := record.NewHalf(suite, secret, seq)
		if err != nil {
			return fmt.Errorf("%w: %w", errState, err)
		}
		*h = half
	}
	var plain, name, protocol, certificates, kind, above cryptobyte.String
	if !s.ReadUint24LengthPrefixed(&plain) || !s.ReadUint16(&curve) || !s.ReadUint16LengthPrefixed(&name) ||
		!s.ReadUint8LengthPrefixed(&protocol) || !s.ReadUint24LengthPrefixed(&certificates) ||
		!s.ReadUint8LengthPrefixed(&kind) || !s.ReadUint24LengthPrefixed(&above) || !s.Empty() {
		return errState
	}
	e.record.Plain, e.record.Owes = append([]byte(nil), plain...), flags&flagOwes != 0
	if flags&flagAbove != 0 {
		e.above = &session{string(kind), append([]byte(nil), above...)}
	}
	e.tls = unexportable
	e.tls.Version, e.tls.HandshakeComplete, e.tls.CipherSuite, e.tls.CurveID = tls.VersionTLS13, true, suite, tls.CurveID(curve)
	e.tls.ServerName, e.tls.NegotiatedProtocol = string(name), string(protocol)
	e.tls.DidResume, e.tls.HelloRetryRequest = flags&flagResume != 0, flags&flagRetry != 0
	for !certificates.Empty() {
		var raw cryptobyte.String
		if !certificates.ReadUint24LengthPrefixed(&raw) {
			return errState
		}
		c, err := x509.ParseCertificate(bytes.Clone(raw)) // of which it stays a part, and the state is overwritten
		if err != nil {
			return fmt.Errorf("%w: %w", errState, err)
		}
		e.tls.PeerCertificates = append(e.tls.PeerCertificates, c)
	}
	return nil
}

// unexportable is the state of a connection whose ExportKeyingMaterial answers with an error: that of one which has not shaken hands.
var unexportable = tls.Server(nil, &tls.Config{}).ConnectionState()
