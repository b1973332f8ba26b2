package record

import (
	"errors"
	"io"
	"os"
	"slices"
	"testing"
)

// position is where a client updates its key.
var positions = map[string]func(c *client, request byte) []byte{
	"first":  func(c *client, r byte) []byte { return slices.Concat(c.keyUpdate(r), c.data("ab")) },
	"middle": func(c *client, r byte) []byte { return slices.Concat(c.data("a"), c.keyUpdate(r), c.data("b")) },
	"last":   func(c *client, r byte) []byte { return slices.Concat(c.data("ab"), c.keyUpdate(r)) },
	"twice":  func(c *client, r byte) []byte { return slices.Concat(c.keyUpdate(r), c.keyUpdate(r), c.data("ab")) },
	"often": func(c *client, r byte) []byte {
		return slices.Concat(c.data("a"), c.keyUpdate(r), c.data("b"), c.keyUpdate(r))
	},
	"padded": func(c *client, r byte) []byte {
		record := c.inner(pad(string([]byte{24, 0, 0, 1, r}), typeHandshake, 4000))
		c.follow(c.out)
		return slices.Concat(record, c.data("ab"))
	},
	"in parts": func(c *client, r byte) []byte {
		parts := slices.Concat(c.seal(22, 24), c.seal(22, 0, 0), c.seal(22, 1), c.seal(22, r))
		c.follow(c.out)
		return slices.Concat(parts, c.data("ab"))
	},
	"with the end": func(c *client, r byte) []byte { return slices.Concat(c.data("ab"), c.keyUpdate(r), c.seal(21, 1, 0)) },
}

func TestKeyUpdatesOfAClientInEveryPosition(t *testing.T) {
	for of, sent := range positions {
		for _, request := range []byte{updateNotRequested, updateRequested} {
			eachSuite(t, func(t *testing.T, id uint16) {
				for _, cut := range []int{1, 27, 1 << 16} {
					c, b, client := pair(t, id)
					b.sent = slices.Collect(slices.Chunk(sent(client, request), cut))
					if got, err := reads(c, 600); got != "ab" || err != io.EOF {
						t.Fatalf("%s: %q, %v", of, got, err)
					}
					if b.writes > 0 {
						t.Errorf("%s: a read has written", of)
					}
					for i := range 2 {
						if _, err := c.Write([]byte("answer")); err != nil {
							t.Fatal(err)
						}
						// One answer for however many requests, before what is written next.
						want := 0
						if i == 0 && request == updateRequested {
							want = 1
						}
						if h := client.hear(b); h.updates != want || string(h.data) != "answer" || h.records != want+1 {
							t.Errorf("%s: the client gets %+v", of, h)
						}
					}
				}
			})
		}
	}
}

func TestRequestedKeyUpdateComesBeforeCloseNotify(t *testing.T) {
	c, b, client := pair(t, allSuites[0])
	b.sent, b.end = [][]byte{client.keyUpdate(updateRequested)}, os.ErrDeadlineExceeded
	if _, err := c.Read(make([]byte, 600)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if h := client.hear(b); h.updates != 1 || len(h.alerts) != 1 || b.writes != 1 {
		t.Errorf("the client gets %+v", h)
	}
}

func TestSecretOfGCMIsReplacedBeforeItIsWorn(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		b := &below{room: -1}
		s := secret(t, id, 's')
		c := NewConn(b, half(t, id, s, 0), half(t, id, s, gcmWear-2))
		client := &client{t: t, out: half(t, id, s, 0), in: half(t, id, s, gcmWear-2)}
		if _, err := c.Write(make([]byte, 5*maxContent)); err != nil {
			t.Fatal(err)
		}
		h := client.hear(b)
		if len(h.data) != 5*maxContent {
			t.Errorf("%d bytes", len(h.data))
		}
		want, seq := 1, uint64(3)
		if id == allSuites[2] {
			want, seq = 0, gcmWear+3
		}
		if h.updates != want || c.out.half.Seq() != seq || client.in.Seq() != seq {
			t.Errorf("%d updates, then number %d", h.updates, c.out.half.Seq())
		}
	})
}
