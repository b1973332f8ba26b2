package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// FuzzLinkReceive plays a hostile peer. The plan cuts the stream: two bytes say how long a piece is, a third how many
// descriptors ride on it. What the plan leaves over comes in one piece, and then the link ends.
func FuzzLinkReceive(f *testing.F) {
	for _, tr := range transcripts() {
		var stream, plan, late []byte
		for _, e := range readTranscript(f, tr) {
			stream = append(stream, e.frame...)
			plan = append(binary.BigEndian.AppendUint16(plan, uint16(len(e.frame))), byte(e.descriptors))
			late = append(binary.BigEndian.AppendUint16(late, 11), byte(e.descriptors))
		}
		if len(stream) > 4<<10 {
			continue // slow to mutate, and more of the same
		}
		f.Add(stream, plan, uint8(0), false)
		f.Add(stream, plan, uint8(2), true)
		f.Add(stream, late, uint8(0), true)
	}
	flood := bytes.Repeat([]byte{0, 1, 255}, 4)
	f.Add(header{kind: KindCarry, length: MaxPayload}.append(nil), flood, uint8(0), true)
	f.Add(bytes.Repeat(header{kind: KindReady, descriptors: 1}.append(nil), 64), flood, uint8(1), false)

	f.Fuzz(func(t *testing.T, stream, plan []byte, lose uint8, merge bool) {
		r := newRig(t)
		r.near.in.merge = merge
		r.far.out.lose = int(lose)
		for next := 0; len(stream) > 0; {
			piece := len(stream)
			var fds []int
			if len(plan) >= 3 {
				piece = min(piece, max(1, int(binary.BigEndian.Uint16(plan))))
				for range min(int(plan[2]), maxDescriptors) {
					fds = append(fds, next)
					next++
				}
				plan = plan[3:]
			}
			r.feed(t, stream[:piece], fds...)
			stream = stream[piece:]
		}
		if err := r.far.Close(); err != nil {
			t.Fatal(err)
		}
		for range 3 { // an error must be survived, whether or not the caller goes on
			for receiveFuzzed(t, r) {
			}
		}
	})
}

// receiveFuzzed receives a frame, or ErrCritical, and holds the link to what it promises. It returns false at the end.
func receiveFuzzed(t *testing.T, r *rig) bool {
	f, err := r.link.Receive()
	r.deliver(f.Descriptors)
	const most = headerSize + MaxPayload + 16<<10
	if held := cap(r.link.recv.buf); held > 2*most {
		t.Fatalf("the link holds %d bytes", held)
	}
	if held := len(r.link.recv.fds); err == nil && !r.near.in.merge && held > 2*maxDescriptors {
		t.Fatalf("the link holds %d descriptors", held)
	}
	if err != nil {
		if f.Descriptors != nil {
			t.Fatalf("descriptors %v came with the error %v", f.Descriptors, err)
		}
		return errors.Is(err, ErrCritical)
	}
	if newMessage[f.Kind()] == nil {
		t.Fatalf("received a frame of %s", f.Kind())
	}
	if f.Lost && f.Descriptors != nil {
		t.Fatalf("%s: descriptors %v, and a loss", f.Kind(), f.Descriptors)
	}
	return true
}

func FuzzConns(f *testing.F) {
	seedPayloads(f, KindConn)
	longest := strings.Repeat("\xff", 4)
	f.Add([]byte("\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x01\x00\x00\x00" + strings.Repeat("\x00", 16) + longest + longest))
	f.Add([]byte("\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x01\x00\x00\x00" + strings.Repeat("\xff", 16) + "\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		m, again := roundTrip(t, KindConn, payload)
		if m == nil {
			return
		}
		if len(again) != len(payload) {
			t.Fatalf("%d bytes came back as %d", len(payload), len(again))
		}
		for _, c := range m.(*Conns).Conns {
			if c.Wait < 0 || c.Age < 0 {
				t.Fatalf("negative time in %+v", c)
			}
		}
	})
}

func FuzzVerdicts(f *testing.F) {
	seedPayloads(f, KindConnAck)
	f.Fuzz(func(t *testing.T, payload []byte) {
		if m, again := roundTrip(t, KindConnAck, payload); m != nil && !bytes.Equal(again, payload) {
			t.Fatalf("%x came back as %x", payload, again)
		}
	})
}

func FuzzCarry(f *testing.F) {
	seedPayloads(f, KindCarry)
	f.Fuzz(func(t *testing.T, payload []byte) {
		if m, again := roundTrip(t, KindCarry, payload); m != nil && !bytes.Equal(again[1:], payload[1:]) {
			t.Fatalf("%x came back as %x", payload, again) // the first byte has flags that are ignored
		}
	})
}

func FuzzControl(f *testing.F) {
	for kind, create := range newMessage {
		if _, bulk := create().(binaryMessage); bulk {
			continue
		}
		f.Add(uint16(kind), []byte(nil))
		for _, payload := range goldenPayloads(f, kind) {
			f.Add(uint16(kind), payload)
		}
	}
	f.Add(uint16(999), []byte("{}"))
	f.Fuzz(func(t *testing.T, kind uint16, payload []byte) {
		m, _ := roundTrip(t, Kind(kind), payload)
		if _, bulk := m.(binaryMessage); m == nil || bulk || len(payload) == 0 {
			return
		}
		var keys map[string]json.RawMessage
		if err := json.Unmarshal(payload, &keys); err != nil {
			t.Fatalf("%q was decoded, and is no object: %v", payload, err)
		}
		for key := range keys {
			if strings.HasPrefix(key, "!") {
				t.Fatalf("the critical key %q was ignored", key)
			}
		}
	})
}

// roundTrip decodes a payload and, if it means something, checks that the meaning survives encoding. It returns the
// message and its encoding, or nil.
func roundTrip(t *testing.T, kind Kind, payload []byte) (Message, []byte) {
	t.Helper()
	m, err := decode(header{kind: kind, length: len(payload)}, payload)
	if err != nil {
		if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrCritical) && !errors.Is(err, errUnknownKind) {
			t.Fatalf("decode: an error of no kind: %v", err)
		}
		return nil, nil
	}
	first, err := encode(m)
	if err != nil {
		t.Fatalf("encode %+v: %v", m, err)
	}
	again, err := decode(header{kind: kind, length: len(first)}, first)
	if err != nil {
		t.Fatalf("decode %q: %v", first, err)
	}
	if !same(m, again) {
		t.Fatalf("%+v came back as %+v", m, again)
	}
	second, err := encode(again)
	if err != nil || !bytes.Equal(first, second) {
		t.Fatalf("%q was encoded again as %q, %v", first, second, err)
	}
	return m, first
}

func seedPayloads(f *testing.F, kind Kind) {
	for _, payload := range goldenPayloads(f, kind) {
		f.Add(payload)
	}
}

// goldenPayloads returns what the frames of one kind carry in the transcripts.
func goldenPayloads(f *testing.F, kind Kind) [][]byte {
	var payloads [][]byte
	for _, tr := range transcripts() {
		for _, e := range readTranscript(f, tr) {
			if h, err := parseHeader(e.frame); err == nil && h.kind == kind {
				payloads = append(payloads, e.frame[headerSize:])
			}
		}
	}
	return payloads
}
