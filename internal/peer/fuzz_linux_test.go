package peer

import (
	"encoding/json"
	"io"
	"os"
	"testing"
	"time"

	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// FuzzWelcome has anybody connect to a takeover socket and say anything, with a descriptor on it. It is a HELLO that can be
// negotiated, or the visitor is turned away; and whatever was said, no descriptor stays.
func FuzzWelcome(f *testing.F) {
	ours := wire.Hello{Protocol: wire.Protocols, Features: wire.Features(), Role: wire.RoleIncumbent, PID: os.Getpid()}
	frame := func(kind wire.Kind, flags, descriptors byte, payload []byte) []byte {
		b := append([]byte{'H', 'O', 'V', 'R', byte(kind >> 8), byte(kind), flags, descriptors, 0, 0, 0, 1, 0, 0}, byte(len(payload)>>8), byte(len(payload)))
		return append(b, payload...)
	}
	for _, hello := range []wire.Hello{
		{Protocol: wire.Protocols, Role: wire.RoleSuccessor, PID: 1, Features: wire.Features()},
		{Protocol: wire.Protocols, Role: wire.RoleKeeper, PID: 1},
		{Protocol: wire.Range{Min: 1 << 20, Max: 1 << 21}, Role: wire.RoleSuccessor},
		{Protocol: wire.Range{Min: 2, Max: 1}},
	} {
		b, err := json.Marshal(hello)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame(wire.KindHello, 0, 1, b))
		f.Add(frame(wire.KindHello, 0, 0, b))
	}
	f.Add(frame(wire.KindHello, 0, 1, []byte(`{"!unheard-of":1}`)))
	f.Add(frame(wire.KindStatus, 0, 0, nil))
	f.Add(frame(999, 1, 1, nil))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, said []byte) {
		if len(said) == 0 || len(said) > 32<<10 {
			return // it enters the socket's buffer at once
		}
		here, there, err := platform.SocketPair()
		if err != nil {
			t.Fatal(err)
		}
		rider, carried, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer rider.Close()
		fd := int(carried.Fd())
		err = there.Send(said, []int{fd})
		_ = carried.Close()
		_ = there.Close()
		if err != nil {
			t.Fatal(err)
		}
		v, err := Welcome(here, ours, func(*wire.Link) {})
		if err == nil {
			if _, _, err := wire.Negotiate(ours, *v.Hello); err != nil {
				t.Errorf("welcome is who says %+v: %v", v.Hello, err)
			}
			v.Close()
		}
		if err := rider.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := rider.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("a descriptor is left of %q: %v", said, err)
		}
	})
}
