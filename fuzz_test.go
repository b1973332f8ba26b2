package handover

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/handover-go/handover/internal/wire"
)

// FuzzTicketKeys has a generation adopt a list of keys. What is no list leaves those that it has; what is one is passed on as it came.
func FuzzTicketKeys(f *testing.F) {
	const size = 8 + len(ticketKey{}.secret)
	one := []byte("\x00\x00\x00\x00\x00\x00\x00\x01" + strings.Repeat("s", size-8))
	old := []byte(strings.Repeat("\xff", size))
	f.Add(uint32(ticketSchema), true, true, one)
	f.Add(uint32(ticketSchema), true, true, slices.Concat(one, old))
	f.Add(uint32(ticketSchema), true, false, one)
	f.Add(uint32(ticketSchema+1), true, true, one)
	f.Add(uint32(ticketSchema), true, true, one[1:])
	f.Add(uint32(ticketSchema), true, true, bytes.Repeat(one, maxTicketKeys))
	f.Add(uint32(ticketSchema), true, true, bytes.Repeat(one, maxTicketKeys+1))
	f.Fuzz(func(t *testing.T, schema uint32, first, last bool, data []byte) {
		c := &clock{}
		keys := c.tickets()
		defer keys.stop()
		err := keys.adopt(&wire.Carry{Schema: schema, FirstChunk: first, LastChunk: last, Name: ticketItem, Data: data})
		again := keys.export()
		if err != nil {
			if !strings.Contains(err.Error(), ticketItem) {
				t.Fatalf("the error does not name what it is about: %v", err)
			}
			if again != nil {
				t.Fatalf("keys were taken, and refused: %v", err)
			}
			return
		}
		if len(keys.keys) > maxTicketKeys || again == nil || len(again.Data) != len(data) {
			t.Fatalf("%d bytes were adopted as %d keys", len(data), len(keys.keys))
		}
		for at := 0; at < len(data); at += size {
			theirs, ours := binary.BigEndian.Uint64(data[at:]), binary.BigEndian.Uint64(again.Data[at:])
			if ours > theirs || ours < min(theirs, uint64(ticketLifetime)) {
				t.Fatalf("a key of age %d is %d old", theirs, ours)
			}
			if string(data[at+8:at+size]) != string(again.Data[at+8:at+size]) {
				t.Fatal("another secret came out")
			}
		}
	})
}

// FuzzInflow has a client send anything: however it is cut, as much of it is counted.
func FuzzInflow(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /"), uint8(3))
	f.Add([]byte("\x16\x03\x01\x00\x02ab\x17\x03\x03\x00\x03abc\x17\x03\x03\x00"), uint8(1))
	f.Add([]byte("\x16\x03\x01\x00\x00\x17\x03\x03\x00\x00\x17\x03\x03\xff\xff"), uint8(4))
	f.Add([]byte(preface), uint8(7))
	f.Fuzz(func(t *testing.T, p []byte, piece uint8) {
		var whole, cut inflow
		whole.add(p)
		for rest := p; len(rest) > 0; {
			n := min(len(rest), int(piece)+1)
			cut.add(rest[:n])
			rest = rest[n:]
		}
		if whole != cut {
			t.Fatalf("%+v in one piece, %+v in pieces of %d", whole, cut, int(piece)+1)
		}
		if whole.size < 0 || whole.size > len(p)+1<<16 {
			t.Fatalf("%d bytes are counted as %d", len(p), whole.size)
		}
	})
}

// FuzzAnnounced has an HTTP/2 server write anything: however it is cut, frames end where they end.
func FuzzAnnounced(f *testing.F) {
	settings := "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	f.Add([]byte(settings+"\x00\x00\x02\x00\x01\x00\x00\x00\x01hi"), uint8(1))
	f.Add([]byte(settings+"\xff\xff\xff\x00\x00\x00\x00\x00\x01"), uint8(8))
	f.Add([]byte(settings[:5]), uint8(0))
	f.Fuzz(func(t *testing.T, p []byte, piece uint8) {
		var whole, cut announced
		whole.follow(p)
		for rest := p; len(rest) > 0; {
			n := min(len(rest), int(piece)+1)
			cut.follow(rest[:n])
			rest = rest[n:]
		}
		if whole.head != cut.head || whole.have != cut.have || whole.rest != cut.rest || whole.any != cut.any {
			t.Fatalf("in pieces of %d frames end elsewhere", int(piece)+1)
		}
		if whole.have == frameHeader && whole.rest <= 0 {
			t.Fatalf("%d bytes are to come of a frame", whole.rest)
		}
	})
}
