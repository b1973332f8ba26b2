package record

import (
	"bytes"
	"errors"
	"math"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
)

func TestWriteUsesAsFewRecordsAndWritesAsPossible(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		for _, v := range []struct{ size, records, writes int }{
			{0, 0, 0}, {1, 1, 1}, {1000, 1, 1}, {4096, 1, 1}, {maxContent, 1, 1}, {maxContent + 1, 2, 1}, {batch, 4, 1},
			{batch + 1, 5, 2}, {3 * batch, 12, 3},
		} {
			c, b, client := pair(t, id)
			content := []byte(strings.Repeat("x", v.size))
			if n, err := c.Write(content); n != v.size || err != nil {
				t.Fatal(n, err)
			}
			if h := client.hear(b); !bytes.Equal(h.data, content) || h.records != v.records || b.writes != v.writes {
				t.Errorf("%d bytes: %d arrive in %d records and %d writes", v.size, len(h.data), h.records, b.writes)
			}
		}
	})
}

func TestConcurrentWritesDoNotMix(t *testing.T) {
	c, b, client := pair(t, allSuites[0])
	var writers sync.WaitGroup
	for i := range 8 {
		writers.Go(func() {
			for range 5 {
				if _, err := c.Write([]byte(strings.Repeat(string(rune('a'+i)), 3*maxContent))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	h := client.hear(b)
	for len(h.data) > 0 {
		if n := len(h.data) - len(bytes.TrimLeft(h.data, string(h.data[:1]))); n%(3*maxContent) != 0 {
			t.Fatalf("a run of %d bytes", n)
		}
		h.data = bytes.TrimLeft(h.data, string(h.data[:1]))
	}
}

func TestFailedWriteEndsWritingForGood(t *testing.T) {
	for _, fault := range []error{os.ErrDeadlineExceeded, errors.New("broken"), nil} {
		for _, room := range []int{0, 1, 100, 2 * batch} {
			c, b, client := pair(t, allSuites[0])
			b.room, b.full = room, fault
			want := 0
			if room > batch {
				want = batch
			}
			n, err := c.Write(make([]byte, 3*batch))
			if n != want || err == nil || fault != nil && !errors.Is(err, fault) {
				t.Fatalf("room for %d: %d, %v", room, n, err)
			}
			sealed := c.out.half.Seq()
			b.room = -1
			if n, again := c.Write([]byte("more")); n != 0 || !errors.Is(again, err) {
				t.Errorf("a later write: %d, %v", n, again)
			}
			if err := c.CloseWrite(); err == nil {
				t.Error("CloseWrite says nothing")
			}
			if _, detached := c.Detach(); !errors.Is(detached, err) {
				t.Errorf("Detach: %v", detached)
			}
			// Reading is not concerned.
			b.sent = [][]byte{client.data("hello")}
			p := make([]byte, 600)
			if n, err := c.Read(p); err != nil || string(p[:n]) != "hello" {
				t.Errorf("Read: %q, %v", p[:n], err)
			}
			writes := b.writes
			if err := c.Close(); err != nil || b.writes != writes {
				t.Errorf("Close: %v, after %d writes", err, b.writes-writes)
			}
			if sealed != c.out.half.seq {
				t.Error("something was sealed after the failure")
			}
		}
	}
}

func TestExhaustedNumbersEndWriting(t *testing.T) {
	id := allSuites[2]
	b := &below{room: -1}
	s := secret(t, id, 's')
	c := NewConn(b, half(t, id, s, 0), half(t, id, s, math.MaxUint64-1))
	if _, err := c.Write([]byte("last")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if n, err := c.Write([]byte("more")); n != 0 || !errors.Is(err, ErrExhausted) || b.writes != 1 {
			t.Fatal(n, err)
		}
	}
}

// blocking is a connection below whose Write takes until it is closed or its deadline is over.
func blocking(t *testing.T) (c *Conn, under chan error) {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { _ = theirs.Close() })
	id := allSuites[0]
	s := secret(t, id, 's')
	c = NewConn(ours, half(t, id, s, 0), half(t, id, s, 0))
	under = make(chan error, 1)
	go func() {
		_, err := c.Write([]byte("nobody reads this"))
		under <- err
	}()
	if _, err := theirs.Read(make([]byte, 1)); err != nil { // the Write is under way now
		t.Fatal(err)
	}
	return c, under
}
