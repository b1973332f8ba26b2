package handover

import (
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/handover-go/handover/internal/wire"
)

const (
	// ticketRotation and ticketLifetime are those of crypto/tls for keys that it makes itself; no server of crypto/tls
	// resumes a session that is older.
	ticketRotation = 24 * time.Hour
	ticketLifetime = 7 * ticketRotation

	// ticketItem names the keys among carried state. SPEC.md, section 4, says how they are written.
	ticketItem   = "handover/tls-tickets"
	ticketSchema = 1

	// maxTicketKeys bounds what an incumbent is believed; a list is never longer than nine.
	maxTicketKeys = 64
)

// tickets are the keys of TLS session tickets, which every generation of a service shares. One key is for all servers of the
// service; each derives its own from it by its name, so that no server resumes what a client began with another, whose
// demands may have been lower.
//
// Keys are in memory and on the link alone. They are never logged.
type tickets struct {
	now func() time.Time

	mu      sync.Mutex
	keys    []ticketKey            // the newest first: it makes tickets, all open them
	servers map[string]*tls.Config // by name: nothing but the holders of what is derived from keys
	timer   *time.Timer            // of the next key; stopped as long as there is none
}

// ticketKey is what every server's own key is derived from.
type ticketKey struct {
	secret [32]byte
	made   time.Time
}

func newTickets() *tickets {
	t := &tickets{now: time.Now, servers: make(map[string]*tls.Config), timer: time.NewTimer(ticketRotation)}
	t.timer.Stop()
	return t
}

// share has c make and open tickets with the service's keys. The functions survive Clone, as http.Server.ServeTLS makes one.
func (t *tickets) share(name string, c *tls.Config) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.keys) == 0 {
		t.addLocked()
	}
	server, ok := t.servers[name]
	if !ok {
		server = &tls.Config{}
		t.servers[name] = server
		if err := t.deriveLocked(name, server); err != nil {
			return err
		}
	}
	c.WrapSession, c.UnwrapSession = server.EncryptTicket, server.DecryptTicket
	return nil
}

// deriveLocked gives a server its keys.
func (t *tickets) deriveLocked(name string, server *tls.Config) error {
	derived := make([][32]byte, len(t.keys))
	for i, k := range t.keys {
		b, err := hkdf.Expand(sha256.New, k.secret[:], ticketItem+" "+name, len(derived[i]))
		if err != nil {
			return fmt.Errorf("derive ticket keys of %q: %w", name, err)
		}
		copy(derived[i][:], b)
	}
	server.SetSessionTicketKeys(derived)
	return nil
}

func (t *tickets) deriveAllLocked() error {
	var errs []error
	for name, server := range t.servers {
		errs = append(errs, t.deriveLocked(name, server))
	}
	return errors.Join(errs...)
}

// addLocked makes a new key, and drops those whose last ticket has expired: a key made tickets until the one after it came.
func (t *tickets) addLocked() {
	k := ticketKey{made: t.now()}
	_, _ = rand.Read(k.secret[:]) // it never fails
	t.keys = slices.Insert(t.keys, 0, k)
	for i := 1; i < len(t.keys); i++ {
		if t.now().Sub(t.keys[i-1].made) >= ticketLifetime {
			t.keys = slices.Clip(t.keys[:i])
		}
	}
	t.timer.Reset(ticketRotation)
}

// due wakes the loop of life when a key is to be made. Once it has, rotate is to be called, as soon as this generation may.
func (t *tickets) due() <-chan time.Time { return t.timer.C }

// rotate makes a new key if one is due, and reports whether it did. Only a generation that serves alone may: a key that the
// other side of a handover does not know makes tickets that are worth nothing if that one serves in the end.
func (t *tickets) rotate() (rotated bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.keys) == 0 || t.now().Sub(t.keys[0].made) < ticketRotation {
		return false, nil
	}
	t.addLocked()
	return true, t.deriveAllLocked()
}

func (t *tickets) stop() { t.timer.Stop() }

// export writes the keys down for a successor; nil if there are none. Ages travel, as no two clocks need agree then.
func (t *tickets) export() *wire.Carry {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.keys) == 0 {
		return nil
	}
	var b []byte
	for _, k := range t.keys {
		b = binary.BigEndian.AppendUint64(b, uint64(max(t.now().Sub(k.made), 0)))
		b = append(b, k.secret[:]...)
	}
	return &wire.Carry{FirstChunk: true, LastChunk: true, Schema: ticketSchema, Name: ticketItem, Data: b}
}

// adopt makes the keys of the incumbent this generation's. What it does not understand costs clients a full handshake, no
// more.
func (t *tickets) adopt(m *wire.Carry) error {
	const ageSize, size = 8, 8 + len(ticketKey{}.secret)
	n := len(m.Data) / size
	switch {
	case m.Schema != ticketSchema:
		return fmt.Errorf("schema %d of %s: this build knows %d", m.Schema, m.Name, ticketSchema)
	case !m.FirstChunk || !m.LastChunk || n == 0 || n > maxTicketKeys || n*size != len(m.Data):
		return fmt.Errorf("%d bytes of %s: not a list of keys", len(m.Data), m.Name)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keys = make([]ticketKey, n)
	for i := range t.keys {
		one := m.Data[i*size : (i+1)*size]
		age := time.Duration(min(binary.BigEndian.Uint64(one), uint64(maxTicketKeys*ticketLifetime)))
		t.keys[i].made = t.now().Add(-age)
		copy(t.keys[i].secret[:], one[ageSize:])
	}
	t.timer.Reset(ticketRotation - t.now().Sub(t.keys[0].made))
	return t.deriveAllLocked()
}

// managesTickets reports whether the program itself has said what becomes of the session tickets of c.
func managesTickets(c *tls.Config) bool {
	return c.SessionTicketsDisabled || c.WrapSession != nil || c.UnwrapSession != nil || hasTicketKeys(c)
}

// hasTicketKeys reports whether c has ticket keys, set or already made. It cannot be asked; but a configuration without any
// makes them from Rand, so that without chance its first ticket is the one that every other such configuration makes.
func hasTicketKeys(c *tls.Config) bool {
	first := func(c *tls.Config) []byte {
		c.Rand = noChance{}
		ticket, err := c.EncryptTicket(tls.ConnectionState{}, &tls.SessionState{})
		if err != nil {
			return nil
		}
		return ticket
	}
	return !bytes.Equal(first(c.Clone()), first(&tls.Config{}))
}

// noChance is a source of zeros.
type noChance struct{}

func (noChance) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
