//go:build linux

package livetls

import (
	"crypto/tls"
	"net"
	"strconv"
	"strings"

	"github.com/handover-go/handover/test/internal/client"
	"github.com/handover-go/handover/test/internal/journal"
)

// visitor is one connection of TLS, used by one goroutine.
type visitor struct {
	*client.Conn
	below *client.Scissors
}

// visit makes a connection. config is that of Trusts, with what change does to it.
func (s *service) visit(change ...func(*tls.Config)) *visitor {
	s.t.Helper()
	v, err := s.tryVisit(change...)
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

func (s *service) tryVisit(change ...func(*tls.Config)) (*visitor, error) {
	s.t.Helper()
	config := s.Trusts()
	for _, by := range change {
		by(config)
	}
	return s.handshake(s.plain(), config)
}

// handshake makes a visitor of a connection.
func (s *service) handshake(c net.Conn, config *tls.Config) (*visitor, error) {
	s.t.Helper()
	below := &client.Scissors{Conn: c}
	over, err := client.Handshake(s.t, below, config, patience)
	return &visitor{over, below}, err
}

// plain is a connection to where TLS is spoken.
func (s *service) plain() net.Conn {
	s.t.Helper()
	return client.Dial(s.t, s.Secure, patience)
}

// records are those in which the text is sent, if it is: in pieces of so many bytes, or in one.
func (v *visitor) records(text string, size int) []byte {
	v.T.Helper()
	return v.below.Held(func() {
		for len(text) > 0 {
			n := min(size, len(text))
			v.Send("%s", text[:n])
			text = text[n:]
		}
	})
}

// sends sends bytes as they are.
func (v *visitor) sends(sealed []byte) {
	v.T.Helper()
	if _, err := v.below.Conn.Write(sealed); err != nil {
		v.T.Fatalf("send: %v", err)
	}
}

// client asks what that process knows of the client.
func (v *visitor) client(pid int) string {
	v.T.Helper()
	v.Ask("/client")
	_, body := v.Response()
	by, rest, _ := strings.Cut(body, " ")
	if by != strconv.Itoa(pid) {
		v.T.Fatalf("answered %q; want process %d", body, pid)
	}
	return strings.TrimSpace(rest)
}

// rests has that process, of a service that tells what is idle, answer, and returns when net/http waits for the next request: before, it reads ahead.
func (v *visitor) rests(s *service, pid int) {
	v.T.Helper()
	idle := s.Watch(func(line string) bool {
		return journal.Says(`msg="connection idle"`, journal.By(pid))(line) && journal.Attribute(line, "client") == v.LocalAddr().String()
	})
	v.IsOf(pid)
	s.Line(idle, "it is not idle")
}

// begins sends bytes as they are, and returns when the service has begun to read them.
func (v *visitor) begins(s *service, sealed []byte) {
	v.T.Helper()
	v.sends(sealed)
	s.Eventually("that they are there", func() (any, bool) {
		own, _ := v.Sockets()
		return own, own.Sending == 0
	})
	s.Eventually("that the service reads", func() (any, bool) {
		_, its := v.Sockets()
		return its, its.Receiving < len(sealed)
	})
}
