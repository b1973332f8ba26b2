package record

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestContentArrivesHoweverItIsCutAndRead(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		var contents []string
		for i, size := range []int{1, 600, maxContent, 0, 1, 5000, maxContent} {
			contents = append(contents, strings.Repeat(string(rune('a'+i)), size))
		}
		for _, cut := range []int{1, 4, 5, 6, 21, 22, 23, 511, 1024, 4096, maxRecord - 1, maxRecord, 1 << 20} {
			for _, room := range []int{1, 511, 512, 4096, maxContent, maxRecord, 1 << 17} {
				if id != allSuites[0] && (cut < 1024 || room < 512) {
					continue // it is the same for all of them
				}
				c, b, client := pair(t, id)
				var stream []byte
				for _, content := range contents {
					stream = append(stream, client.data(content)...)
				}
				b.sent = slices.Collect(slices.Chunk(append(stream, client.seal(typeAlert, levelWarning, 0)...), cut))
				if got, err := reads(c, room); err != io.EOF || got != strings.Join(contents, "") {
					t.Fatalf("cut to %d, read by %d: %d bytes, %v", cut, room, len(got), err)
				}
				if c.in.buffer != nil {
					t.Fatalf("cut to %d, read by %d: a buffer stays", cut, room)
				}
			}
		}
	})
}

func TestIdleConnHoldsNoBuffer(t *testing.T) {
	for _, room := range []int{1, 4096, 1 << 16} {
		c, b, client := pair(t, allSuites[0])
		b.end = os.ErrDeadlineExceeded
		for range 3 {
			b.sent = [][]byte{client.data(strings.Repeat("x", 16000))}
			if got, err := reads(c, room); len(got) != 16000 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("%d bytes, %v", len(got), err)
			}
			if c.in.buffer != nil || c.in.raw != nil || c.in.plain != nil {
				t.Fatalf("read by %d: a buffer stays", room)
			}
		}
	}
}

func TestReadGoesOnAfterItsDeadline(t *testing.T) {
	c, b, client := pair(t, allSuites[0])
	record := client.data("hello")
	b.end = os.ErrDeadlineExceeded
	for i := range record {
		if _, err := c.Read(make([]byte, 600)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		if c.Pending() {
			t.Fatalf("%d bytes of a record are pending", i)
		}
		b.sent = [][]byte{record[i : i+1]}
	}
	if got, err := reads(c, 600); got != "hello" || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%q, %v", got, err)
	}
}

func TestPendingIsContentOrAWholeRecord(t *testing.T) {
	c, b, client := pair(t, allSuites[0])
	stream := append(client.data("first"), client.data("second")...)
	stream = append(stream, client.data("third")[:10]...)
	b.sent, b.end = [][]byte{stream}, os.ErrDeadlineExceeded
	p := make([]byte, 600)
	for _, step := range []struct {
		read    []byte
		got     string
		pending bool
	}{{nil, "", false}, {p, "first", true}, {p[:3], "sec", true}, {p, "ond", false}} {
		n, err := c.Read(step.read)
		if err != nil || string(p[:n]) != step.got || c.Pending() != step.pending {
			t.Errorf("%q, %v, pending %t", p[:n], err, c.Pending())
		}
	}
}

func TestEndOfTheConnectionBelow(t *testing.T) {
	for _, test := range []struct {
		of   string
		sent func(*client) []byte
		want error
	}{
		{"nothing", func(*client) []byte { return nil }, io.EOF},
		{"between two records", func(c *client) []byte { return c.data("x") }, io.EOF},
		{"within a header", func(c *client) []byte { return c.data("x")[:3] }, io.ErrUnexpectedEOF},
		{"within a record", func(c *client) []byte { r := c.data("x"); return r[:len(r)-1] }, io.ErrUnexpectedEOF},
		{"within a message", func(c *client) []byte { return c.seal(typeHandshake, messageKeyUpdate) }, io.ErrUnexpectedEOF},
		{"close_notify", func(c *client) []byte { return append(c.seal(typeAlert, 1, 0), "and what follows"...) }, io.EOF},
	} {
		c, b, client := pair(t, allSuites[0])
		b.sent = [][]byte{test.sent(client)}
		if _, err := reads(c, 600); err != test.want {
			t.Errorf("%s: %v", test.of, err)
		}
		if _, err := c.Read(make([]byte, 1)); err != test.want || c.in.buffer != nil || c.Pending() {
			t.Errorf("%s: then %v", test.of, err)
		}
		// The other direction is not concerned.
		if _, err := c.Write([]byte("answer")); err != nil || string(client.hear(b).data) != "answer" {
			t.Errorf("%s: Write: %v", test.of, err)
		}
		if _, err := c.Detach(); !errors.Is(err, test.want) {
			t.Errorf("%s: Detach: %v", test.of, err)
		}
	}
}

func TestOtherErrorsBelowAreForGood(t *testing.T) {
	c, b, client := pair(t, allSuites[0])
	b.end = errors.New("broken")
	if _, err := c.Read(make([]byte, 600)); !errors.Is(err, b.end) {
		t.Fatal(err)
	}
	b.sent = [][]byte{client.data("late")}
	if n, err := c.Read(make([]byte, 600)); n != 0 || !errors.Is(err, b.end) {
		t.Fatal(n, err)
	}
}

func TestReadIntoNothingReadsNothing(t *testing.T) {
	c, b, client := pair(t, allSuites[0])
	b.sent = [][]byte{client.data("hello")}
	if n, err := c.Read(nil); n != 0 || err != nil || !bytes.Equal(b.sent[0][:1], []byte{typeApplicationData}) {
		t.Fatal(n, err)
	}
}

// TestReadRecordReturnsWithNothingInHand, and else is Read: half a record or half a message is read on, content and errors are returned, and who sends
// nothing but records that bring nothing is ended as by Read. Guards: Conn.next, "len(c.in.raw) == 0", "c.in.message.size == 0".
func TestReadRecordReturnsWithNothingInHand(t *testing.T) {
	empty := func(c *client) []byte { return c.data("") }
	for _, test := range []struct {
		of      string
		sent    func(*client) [][]byte // each is what one read below brings
		returns int                    // so many times with nothing
		got     string
		want    error
	}{
		{"an empty record", func(c *client) [][]byte { return [][]byte{empty(c)} }, 1, "", os.ErrDeadlineExceeded},
		{"a KeyUpdate", func(c *client) [][]byte { return [][]byte{c.keyUpdate(updateRequested)} }, 1, "", os.ErrDeadlineExceeded},
		{"two at once", func(c *client) [][]byte { return [][]byte{append(empty(c), c.keyUpdate(0)...)} }, 1, "", os.ErrDeadlineExceeded},
		{"two", func(c *client) [][]byte { return [][]byte{empty(c), c.keyUpdate(0)} }, 2, "", os.ErrDeadlineExceeded},
		{"and half of another", func(c *client) [][]byte { return [][]byte{append(empty(c), c.data("half")[:9]...)} }, 0, "", os.ErrDeadlineExceeded},
		{"and then the other half", func(c *client) [][]byte {
			first, second := empty(c), empty(c)
			return [][]byte{append(first, second[:9]...), second[9:]}
		}, 1, "", os.ErrDeadlineExceeded},
		{"half a message", func(c *client) [][]byte { return [][]byte{c.seal(typeHandshake, messageKeyUpdate, 0)} }, 0, "", os.ErrDeadlineExceeded},
		{"and content", func(c *client) [][]byte { return [][]byte{append(empty(c), c.data("x")...)} }, 0, "x", os.ErrDeadlineExceeded},
		{"and close_notify", func(c *client) [][]byte { return [][]byte{append(empty(c), c.seal(typeAlert, 1, 0)...)} }, 0, "", io.EOF},
		{"close_notify", func(c *client) [][]byte { return [][]byte{c.seal(typeAlert, 1, 0)} }, 0, "", io.EOF},
		{"for ever", func(c *client) (all [][]byte) {
			for range maxUseless + 1 {
				all = append(all, empty(c))
			}
			return all
		}, maxUseless, "", alertUnexpectedMessage},
	} {
		t.Run(test.of, func(t *testing.T) {
			c, b, client := pair(t, allSuites[0])
			b.sent, b.end = test.sent(client), os.ErrDeadlineExceeded
			p, got, returns := make([]byte, 600), "", 0
			var err error
			for err == nil {
				var n int
				if n, err = c.ReadRecord(p); n == 0 && err == nil {
					if returns++; c.Pending() || c.in.raw != nil || c.in.buffer != nil || c.detachable() != nil {
						t.Error("something is in hand")
					}
				}
				got += string(p[:n])
			}
			if got != test.got || returns != test.returns || !errors.Is(err, test.want) {
				t.Errorf("%q, %v, after %d returns; want %q, %v, after %d", got, err, returns, test.got, test.want, test.returns)
			}
		})
	}
}
