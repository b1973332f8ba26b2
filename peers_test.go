package handover

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"iter"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/internal/wire"
)

// oracle is a Peers that knows what it was told.
type oracle struct {
	knows []known
	err   error
}

type known struct {
	addr  net.Addr
	state string
}

func (o *oracle) Export(_ context.Context, put func(net.Addr, []byte) error) error {
	for _, k := range o.knows {
		if err := put(k.addr, []byte(k.state)); err != nil {
			return err
		}
	}
	return o.err
}

func (o *oracle) Import(peers iter.Seq2[net.Addr, []byte]) error {
	o.knows = nil
	for addr, state := range peers {
		o.knows = append(o.knows, known{addr, string(state)})
	}
	return o.err
}

// newAcquaintance is what an oracle knows of the peers of a socket that does not exist.
func newAcquaintance(network string, peers Peers) *acquaintance {
	s := &socket{spec: wire.Listener{Network: network, Address: "here", Packet: true}}
	return &acquaintance{socket: s, kind: "test/1", peers: peers, busy: make(chan struct{}, 1)}
}

// exported is what a sends.
func exported(t *testing.T, a *acquaintance) (frames []wire.Carry) {
	t.Helper()
	room := maxPeers
	c := newConsignment(a.socket.spec.Network, a.socket.spec.Key(), a.kind, &room, func(m *wire.Carry) error {
		one := *m
		one.Data = slices.Clone(m.Data)
		frames = append(frames, one)
		return nil
	})
	if err := c.end(a.call(t.Context(), func() error { return a.peers.Export(t.Context(), c.put) })); err != nil {
		t.Fatal(err)
	}
	return frames
}

// finds is a process that knows a alone.
func finds(a *acquaintance) func(key, kind string) *acquaintance {
	return func(key, kind string) *acquaintance {
		if key == a.socket.spec.Key() && kind == a.kind {
			return a
		}
		return nil
	}
}

func TestPeersTravelByteForByte(t *testing.T) {
	long := strings.Repeat("s", MaxPeerState)
	for network, knows := range map[string][]known{
		"udp": {
			{&net.UDPAddr{IP: net.IPv4(192, 0, 2, 1).To4(), Port: 1}, "four bytes"},
			{&net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 65535}, "sixteen"},
			{&net.UDPAddr{IP: net.ParseIP("fe80::1"), Port: 53, Zone: "eth0"}, ""},
			{&net.UDPAddr{IP: net.ParseIP("2001:db8::1"), Port: 0}, long},
			{&net.UDPAddr{IP: net.ParseIP("2001:db8::2"), Port: 7}, long},
		},
		"unixgram": {
			{&net.UnixAddr{Name: "/run/peer", Net: "unixgram"}, "path"},
			{&net.UnixAddr{Name: "@abstract\x00name", Net: "unixgram"}, long},
		},
		"udp6": {},
	} {
		t.Run(network, func(t *testing.T) {
			here, there := &oracle{knows: knows}, &oracle{knows: []known{{&net.UDPAddr{}, "old"}}}
			to := newAcquaintance(network, there)
			var d delivery
			for _, m := range exported(t, newAcquaintance(network, here)) {
				if len(m.Data) > wire.MaxPayload/2 {
					t.Errorf("a chunk of %d bytes", len(m.Data))
				}
				d.take(&m, finds(to))
			}
			whole, err := d.end()
			if err != nil || len(whole) != 1 {
				t.Fatalf("%d items came whole, %v", len(whole), err)
			}
			if err := there.Import(whole[0].peers()); err != nil {
				t.Fatal(err)
			}
			if len(there.knows) != len(knows) {
				t.Fatalf("%d peers have come, of %d", len(there.knows), len(knows))
			}
			for i, want := range knows {
				if got := there.knows[i]; got.addr.String() != want.addr.String() || got.state != want.state || got.addr.Network() != want.addr.Network() {
					t.Errorf("peer %v came as %v, with %d bytes of %d", want.addr, got.addr, len(got.state), len(want.state))
				}
				if want, ok := want.addr.(*net.UDPAddr); ok && string(want.IP) != string(there.knows[i].addr.(*net.UDPAddr).IP) {
					t.Errorf("%v came in another form", want)
				}
			}
		})
	}
}

// TestPeersAreWrittenAsInTheTranscript of internal/wire.
func TestPeersAreWrittenAsInTheTranscript(t *testing.T) {
	a := newAcquaintance("udp", &oracle{knows: []known{
		{&net.UDPAddr{IP: net.IPv4(192, 0, 2, 1).To4(), Port: 54321}, "12"},
		{&net.UDPAddr{IP: net.ParseIP("fe80::1"), Port: 5353, Zone: "eth0"}, ""},
	}})
	a.socket.spec.Address, a.socket.spec.Ordinal, a.kind = "127.0.0.1:5353", 1, "counts/1"
	golden, err := os.ReadFile("internal/wire/testdata/golden/v1/peers.txt")
	if err != nil {
		t.Fatal(err)
	}
	var want []byte
	for line := range strings.Lines(string(golden)) {
		if words := strings.Fields(line); len(words) == 5 && words[0] == "I>S" && words[1] == "CARRY" {
			frame, err := hex.DecodeString(words[4])
			if err != nil {
				t.Fatal(err)
			}
			if _, data, found := bytes.Cut(frame, []byte(peersItem)); found {
				want = append(want, data...)
			}
		}
	}
	frames := exported(t, a)
	if len(frames) != 1 || len(want) == 0 || !bytes.Equal(frames[0].Data, want) {
		t.Errorf("%d frames, %x; want %x", len(frames), frames[0].Data, want)
	}
}

func TestPeerThatCannotTravelIsRefusedAlone(t *testing.T) {
	good := &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}
	here, there := &oracle{}, &oracle{}
	a := newAcquaintance("udp", here)
	room := maxPeers
	var d delivery
	c := newConsignment("udp", a.socket.spec.Key(), a.kind, &room, func(m *wire.Carry) error {
		d.take(m, finds(newAcquaintance("udp", there)))
		return nil
	})
	for name, put := range map[string]func() error{
		"too much state":   func() error { return c.put(good, make([]byte, MaxPeerState+1)) },
		"no address":       func() error { return c.put(nil, nil) },
		"no IP":            func() error { return c.put(&net.UDPAddr{Port: 1}, nil) },
		"no such port":     func() error { return c.put(&net.UDPAddr{IP: good.IP, Port: 1 << 16}, nil) },
		"another network":  func() error { return c.put(&net.UnixAddr{Name: "/run/peer"}, nil) },
		"another protocol": func() error { return c.put(&net.TCPAddr{IP: good.IP, Port: 1}, nil) },
		"a long zone":      func() error { return c.put(&net.UDPAddr{IP: good.IP, Port: 1, Zone: strings.Repeat("z", 300)}, nil) },
	} {
		if put() == nil {
			t.Errorf("%s: not refused", name)
		}
	}
	if err := errors.Join(c.put(good, []byte("good")), c.end(nil)); err != nil {
		t.Fatal(err)
	}
	if err := c.put(good, nil); err == nil {
		t.Error("put after the end: not refused")
	}
	whole, err := d.end()
	if err != nil || len(whole) != 1 {
		t.Fatalf("%d items, %v", len(whole), err)
	}
	for addr, state := range whole[0].peers() {
		if addr.String() != good.String() || string(state) != "good" {
			t.Errorf("peer %v, state %q", addr, state)
		}
	}
}

func TestPeersAreBoundedOnBothSides(t *testing.T) {
	a := newAcquaintance("udp", &oracle{})
	peer := &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}
	room := 1000 + chunkCost
	c := newConsignment("udp", a.socket.spec.Key(), a.kind, &room, func(*wire.Carry) error { return nil })
	if err := c.put(peer, make([]byte, 900)); err != nil {
		t.Fatal(err)
	}
	if err := c.put(peer, make([]byte, 900)); err == nil {
		t.Error("more than there is room for was put")
	}
	if c.put(peer, nil) == nil || c.end(nil) == nil {
		t.Error("what is too much was sent in part")
	}

	a.peers = &oracle{knows: []known{{peer, "state"}}}
	frames := exported(t, a)
	d := delivery{bytes: maxPeers, whole: []*parcel{{}}}
	d.take(&frames[0], finds(a))
	if whole, err := d.end(); err == nil || whole != nil {
		t.Errorf("more than the bound was held: %v", err)
	}
}

func TestItemOfPeersThatEndsTooEarlyIsDropped(t *testing.T) {
	a := newAcquaintance("unixgram", &oracle{knows: []known{
		{&net.UnixAddr{Name: "/1"}, strings.Repeat("1", 40<<10)}, {&net.UnixAddr{Name: "/2"}, strings.Repeat("2", 40<<10)},
	}})
	frames := exported(t, a)
	if len(frames) != 2 {
		t.Fatalf("%d frames", len(frames))
	}
	var d delivery
	d.take(&frames[0], finds(a))
	for _, m := range frames {
		d.take(&m, finds(a))
	}
	held := d.bytes
	if whole, err := d.end(); len(whole) != 1 || err != nil || held != whole[0].bytes {
		t.Errorf("%d items are whole, %v; %d bytes held", len(whole), err, held)
	}
	d.take(&frames[1], finds(a))
	if _, err := d.end(); err == nil {
		t.Error("a chunk of no item was taken")
	}
	for range 2 {
		for _, m := range frames {
			d.take(&m, finds(a))
		}
	}
	if whole, err := d.end(); err == nil || whole != nil {
		t.Error("one item was taken twice")
	}
}

func TestPeersThatNobodyKnowsArePassedOver(t *testing.T) {
	a := newAcquaintance("unixgram", &oracle{knows: []known{{&net.UnixAddr{Name: "/1"}, strings.Repeat("1", MaxPeerState)}, {&net.UnixAddr{Name: "/2"}, "2"}}})
	later := exported(t, a)
	for i := range later {
		later[i].Schema = peersSchema + 1
	}
	for _, frames := range [][]wire.Carry{exported(t, a), later} {
		var d delivery
		for _, m := range frames {
			d.take(&m, func(string, string) *acquaintance { return nil })
		}
		if whole, err := d.end(); whole != nil || err != nil || d.bytes != 0 {
			t.Errorf("%d items, %v, %d bytes held", len(whole), err, d.bytes)
		}
	}
}

func TestExportThatIsLeftBehindIsAwaitedByTheNext(t *testing.T) {
	stuck, done := make(chan struct{}), make(chan struct{})
	a := newAcquaintance("udp", &oracle{})
	given, giveUp := context.WithCancel(t.Context())
	if err := a.call(given, func() error { giveUp(); <-stuck; close(done); return nil }); !errors.Is(err, context.Canceled) {
		t.Fatalf("a call that does not return: %v", err)
	}
	if err := a.call(given, func() error { t.Error("two calls at a time"); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("a second call meanwhile: %v", err)
	}
	close(stuck)
	if err := a.idle(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-done
}

func TestPeersAreRegisteredOnceForASocketOfListenPacket(t *testing.T) {
	s, pc := listenPacket(t, "udp", "127.0.0.1:0")
	_, foreign := listenPacket(t, "udp", "127.0.0.1:0")
	p := &Process{sockets: s}
	for name, c := range map[string]struct {
		conn  net.PacketConn
		kind  string
		peers Peers
	}{
		"wrapped":         {struct{ net.PacketConn }{pc}, "k", &oracle{}},
		"another process": {foreign, "k", &oracle{}},
		"no connection":   {nil, "k", &oracle{}},
		"no kind":         {pc, "", &oracle{}},
		"a long kind":     {pc, strings.Repeat("k", 256), &oracle{}},
		"no peers":        {pc, "k", nil},
	} {
		if p.CarryPeers(c.conn, c.kind, c.peers) == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := errors.Join(p.CarryPeers(pc, "k/1", &oracle{}), p.CarryPeers(pc, "k/2", &oracle{})); err != nil {
		t.Error(err)
	}
	if p.CarryPeers(pc, "k/1", &oracle{}) == nil {
		t.Error("twice: no error")
	}
	p.running = true
	if p.CarryPeers(pc, "k/3", &oracle{}) == nil {
		t.Error("after Run: no error")
	}
}

// TestSocketIsQuietWhenWhoHasReadReadsAgain, and not before.
func TestSocketIsQuietWhenWhoHasReadReadsAgain(t *testing.T) {
	s, pc := listenPacket(t, "udp", "127.0.0.1:0")
	s.openGates()
	handled, came := make(chan struct{}), make(chan struct{})
	go func() {
		take(pc)
		close(came)
		<-handled
		take(pc)
	}()
	send(t, pc.LocalAddr(), "datagram")
	<-came
	g := gateOf(pc)
	if err := g.quiet(t.Context()); err != nil { // as of a socket that stays with this generation
		t.Errorf("at an open gate: %v", err)
	}
	park(t, s)
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := g.quiet(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("quiet while a datagram is in hand: %v", err)
	}
	close(handled)
	long, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := g.quiet(long); err != nil {
		t.Error(err)
	}
}

func TestSocketThatIsHeldIsReadOnceItIsNot(t *testing.T) {
	s, pc := listenPacket(t, "udp", "127.0.0.1:0")
	g := gateOf(pc)
	g.hold()
	g.hold()
	s.openGates()
	send(t, pc.LocalAddr(), "datagram")
	read := reading(t, pc)
	g.unhold()
	if g.open.Load() {
		t.Error("the gate is open, and held")
	}
	g.unhold()
	if r := receive(t, read); r.text != "datagram" {
		t.Errorf("read %+v", r)
	}
	park(t, s)
	g.hold()
	g.unhold()
	if g.open.Load() {
		t.Error("nobody has opened the gate")
	}
}

// FuzzPeers plays a hostile peer that sends three chunks: nothing is taken that cannot be read, and what is read is what was sent.
func FuzzPeers(f *testing.F) {
	for _, a := range []*acquaintance{
		newAcquaintance("udp", &oracle{knows: []known{{&net.UDPAddr{IP: net.ParseIP("fe80::1"), Port: 53, Zone: "eth0"}, "state"}, {&net.UDPAddr{IP: net.IPv4zero.To4()}, ""}}}),
		newAcquaintance("unixgram", &oracle{knows: []known{{&net.UnixAddr{Name: "@name"}, "state"}}}),
	} {
		room := maxPeers
		c := newConsignment(a.socket.spec.Network, a.socket.spec.Key(), a.kind, &room, func(m *wire.Carry) error {
			head := len(appendShort(appendShort(nil, a.socket.spec.Key()), a.kind))
			f.Add(isUnix(a.socket.spec.Network), slices.Clone(m.Data), slices.Clone(m.Data[head:]), []byte{}, byte(0b100_001))
			return nil
		})
		if err := c.end(a.peers.Export(f.Context(), c.put)); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, unix bool, first, second, third []byte, flags byte) {
		network := "udp"
		if unix {
			network = "unixgram"
		}
		a := newAcquaintance(network, &oracle{})
		var d delivery
		var sent int
		for i, data := range [][]byte{first, second, third} {
			bits := flags >> (2 * i)
			d.take(&wire.Carry{Schema: peersSchema, Name: peersItem, FirstChunk: bits&1 != 0, LastChunk: bits&2 != 0, Data: data}, finds(a))
			if sent += len(data) + chunkCost; d.bytes > sent {
				t.Fatalf("%d bytes held of %d", d.bytes, sent)
			}
		}
		whole, err := d.end()
		if err != nil && (whole != nil || !errors.Is(err, errPeers)) {
			t.Fatalf("%d items, and the error %v", len(whole), err)
		}
		for _, p := range whole {
			var again []byte
			for addr, state := range p.peers() {
				packed, err := packAddress(network, addr)
				if err != nil || len(state) > MaxPeerState {
					t.Fatalf("peer %v with %d bytes: %v", addr, len(state), err)
				}
				again = append(appendShort(again, packed), byte(len(state)>>24), byte(len(state)>>16), byte(len(state)>>8), byte(len(state)))
				again = append(again, state...)
			}
			if want := bytes.Join(p.chunks, nil); !bytes.Equal(again, want) {
				t.Fatalf("%x was read as %x", want, again)
			}
		}
	})
}
