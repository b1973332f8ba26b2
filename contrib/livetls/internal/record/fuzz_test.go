package record

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
)

// arrives reads all that there is, moving the connection after reads that the seed names, and asserts what must hold whatever a
// client sends: Read ends, no more is buffered than a record and a read ahead of it, nothing comes after the end, and the server
// says at most one thing by itself, an alert. It returns the content.
func arrives(t *testing.T, c *Conn, b *below, client *client, seed uint64) ([]byte, error) {
	random := rand.New(rand.NewPCG(seed, 0))
	var all []byte
	for {
		p := make([]byte, 1+random.IntN(1<<(1+random.IntN(15))))
		n, err := c.Read(p)
		if n > len(p) || n > maxContent || n == 0 && err == nil || n > 0 && err != nil {
			t.Fatalf("Read: %d of %d, %v", n, len(p), err)
		}
		all = append(all, p[:n]...)
		if len(c.in.raw)+len(c.in.plain) > 2*maxRecord || c.in.buffer != nil && len(c.in.buffer.bytes) > recordBuffer {
			t.Fatalf("%d and %d bytes are buffered", len(c.in.raw), len(c.in.plain))
		}
		if err == nil {
			if random.IntN(3) == 0 {
				c = moved(t, b, detached(t, c))
			}
			continue
		}
		if m, again := c.Read(p); m != 0 || !errors.Is(again, err) || c.in.buffer != nil {
			t.Fatalf("Read after its end: %d, %v, not %v", m, again, err)
		}
		if _, detached := c.Detach(); detached == nil {
			t.Fatal("it was detached after its end")
		}
		h := client.hear(b)
		var alert tls.AlertError
		var op *net.OpError
		switch {
		case h.data != nil || len(h.alerts) > 1:
			t.Fatalf("the client gets %+v", h)
		case errors.As(err, &op) && errors.As(err, &alert) && op.Op == "local error":
			if !slices.Equal(h.alerts, []tls.AlertError{alert}) {
				t.Fatalf("the client gets %+v for %v", h, err)
			}
		case h.records > 0:
			t.Fatalf("the client gets %+v for %v", h, err)
		}
		return all, err
	}
}

// FuzzStream has a client send records, and then anything: of that, no content comes out.
func FuzzStream(f *testing.F) {
	f.Add([]byte{}, uint8(0), uint64(0))
	f.Add([]byte{23, 3, 3, 0, 17, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17}, uint8(3), uint64(1))
	f.Add([]byte{23, 3, 3, 0x41, 0x00}, uint8(7), uint64(2))
	f.Add([]byte{23, 3, 3, 0x41, 0x01}, uint8(1), uint64(3))
	f.Add([]byte{23, 3, 3, 0, 0, 23, 3, 3}, uint8(2), uint64(4))
	f.Add([]byte{20, 3, 3, 0, 1, 1}, uint8(1), uint64(5))
	f.Add([]byte{21, 3, 3, 0, 2, 1, 0}, uint8(1), uint64(6))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), uint8(1), uint64(7))
	f.Fuzz(func(t *testing.T, raw []byte, first uint8, seed uint64) {
		c, b, client := pair(t, allSuites[seed%3])
		var stream, want []byte
		for i := range int(first % 8) {
			content := bytes.Repeat([]byte{byte(i)}, int(seed>>8%5000))
			stream = append(stream, client.seal(typeApplicationData, content...)...)
			want = append(want, content...)
		}
		stream = append(stream, raw...)
		b.sent = slices.Collect(slices.Chunk(stream, 1+int(seed%2000)))
		got, err := arrives(t, c, b, client, seed)
		if !bytes.Equal(got, want) {
			t.Fatalf("%d bytes come out, of %d that were sealed", len(got), len(want))
		}
		if len(raw) == 0 && err != io.EOF {
			t.Fatal(err)
		}
	})
}

// FuzzInner has a client seal anything, of which each part is an inner plaintext: a length, of two bytes, and that much.
// A client of RFC 8446 is imitated beside it.
func FuzzInner(f *testing.F) {
	record := func(inner ...byte) []byte { return append([]byte{byte(len(inner) >> 8), byte(len(inner))}, inner...) }
	update := func(r byte) []byte { return record(24, 0, 0, 1, r, typeHandshake) }
	data := record('h', 'i', typeApplicationData)
	f.Add(data, uint64(0))
	f.Add(slices.Concat(data, record('h', 'i', typeApplicationData, 0, 0, 0, 0, 0, 0, 0, 0, 0), data), uint64(1))
	f.Add(slices.Concat(update(0), data, update(1), update(1), data), uint64(2))
	f.Add(slices.Concat(record(24, 0, 0, typeHandshake), record(1, 0, typeHandshake), data), uint64(3))
	f.Add(slices.Concat(record(24, 0, typeHandshake), data), uint64(4))
	f.Add(slices.Concat(data, record(1, 0, typeAlert), data), uint64(5))
	f.Add(slices.Concat(record(1, 90, typeAlert), data, record(2, 40, typeAlert)), uint64(6))
	f.Add(slices.Concat(record(), data), uint64(7))
	f.Add(bytes.Repeat(record(typeApplicationData), 20), uint64(8))
	f.Add(slices.Concat(data, record(24, 0, 0, 1, 0, 0, typeHandshake)), uint64(9))
	f.Add(slices.Concat(data, record(make([]byte, maxContent+2)...)), uint64(10))
	f.Fuzz(func(t *testing.T, script []byte, seed uint64) {
		c, b, client := pair(t, allSuites[seed%3])
		var stream, want []byte
		var message []byte
		honest := true
		for len(script) >= 2 {
			size := min(int(script[0])<<8|int(script[1]), len(script)-2, maxPayload-tagSize)
			inner := script[2 : 2+size]
			script = script[2+size:]
			stream = append(stream, client.inner(inner)...)
			content := bytes.TrimRight(inner, "\x00")
			if !honest || len(content) == 0 || len(inner) > maxContent+1 {
				honest = false
				continue
			}
			typ := content[len(content)-1]
			content = content[:len(content)-1]
			switch {
			case typ == typeApplicationData && message == nil:
				want = append(want, content...)
			case typ == typeHandshake:
				message = append(message, content...)
				if len(message) == 5 && bytes.Equal(message[:4], keyUpdate[:4]) && message[4] <= 1 {
					message = nil
					client.follow(client.out)
				}
			case typ == typeAlert && message == nil && bytes.Equal(content, []byte{1, 90}):
			default:
				honest = false // or the end
			}
		}
		b.sent = slices.Collect(slices.Chunk(stream, 1+int(seed%5000)))
		got, err := arrives(t, c, b, client, seed)
		if !bytes.HasPrefix(want, got) {
			t.Fatalf("%q comes out of what was sealed as %q", got, want)
		}
		if err == io.EOF && honest && !bytes.Equal(got, want) {
			t.Fatalf("%q comes out of %q, and then the end", got, want)
		}
	})
}
